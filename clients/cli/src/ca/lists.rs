//! `sealbook ca crl`: the revocation lists of the issuing CAs, when asked, when it is time, or again and again.
//!
//! INVARIANT: a list that is in the file and is not signed anew stays in it, unless a single role was asked for. Each
//! signing takes a line of the CA's inventory, for good, so nothing is signed again because the file could not be written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use sealbook_authority::Authority;
use sealbook_identity::{CertificateDer, RevocationList, Role, files, pem};
use serde_json::{Value, json};

use super::{DAY_MS, hinted, open_ca};
use crate::error::{CliError, Exit, Result};
use crate::members::now_ms;
use crate::network::decode_hex;
use crate::operations::{Context, time};
use crate::output;

/// How long after it could not be signed a role's list is tried again.
const TRIED_AGAIN: Duration = Duration::from_secs(3_600);

/// Which lists are to be in which file, and for how long.
pub(super) struct Wanted {
    out: PathBuf,
    only: Option<Role>,
    valid_ms: u64,
}

/// A list with the certificate of its authority.
struct Held {
    authority: CertificateDer<'static>,
    der: Vec<u8>,
    list: RevocationList,
    /// Whether it was signed now.
    is_new: bool,
}

/// An issuing CA: its role, and whether it is the one before the role's present one.
type Of = (Role, bool);
/// Lists by their authority.
type Lists = BTreeMap<Of, Held>;
/// Authorities whose lists it is time for, and why.
type Due = Vec<(Of, &'static str)>;

/// Lists that were signed, with those that stay, and what is said of them.
struct Signed {
    pem: String,
    value: Value,
    text: String,
}

impl Wanted {
    pub(super) fn new(out: &Path, role: Option<&str>, days: u32) -> Result<Self> {
        let only = role.map(str::parse).transpose();
        Ok(Self {
            out: out.to_owned(),
            only: only.map_err(|error| CliError::with_exit(Exit::Usage, error))?,
            valid_ms: u64::from(days).saturating_mul(DAY_MS),
        })
    }

    /// The authorities whose lists are signed here.
    fn signed_here(&self, authority: &Authority) -> Result<Vec<Of>> {
        let former = authority.former_roles(now_ms());
        let former = former.into_iter().map(|role| (role, true));
        let present = authority.roles().into_iter().map(|role| (role, false));
        let mut all: Vec<Of> = present.chain(former).collect();
        all.retain(|(role, _)| self.only.is_none_or(|only| only == *role));
        all.sort();
        if all.is_empty() {
            let which = self.only.map_or_else(
                || "none of the issuing keys is here".to_owned(),
                |role| format!("the issuing key of role {role} is not here"),
            );
            return Err(CliError::new(which).hint("sign the lists where the keys are kept"));
        }
        Ok(all)
    }

    /// The lists in the file that hold and belong there.
    fn held(&self, authority: &Authority) -> Lists {
        let mut held = Lists::new();
        let text = files::read_text(&self.out, pem::LISTS_FILE_BYTES_MAX);
        let pairs = text
            .ok()
            .and_then(|text| pem::lists_from_bytes(text.as_bytes()).ok());
        let (lists, authorities) = pairs.unwrap_or_default();
        let (roots, now) = ([authority.root().clone()], now_ms());
        for (der, with) in lists.into_iter().zip(authorities) {
            let authorities = std::slice::from_ref(&with);
            let list = RevocationList::verify(&der, authorities, &roots, authority.network(), now);
            let Ok(list) = list else { continue };
            let role = list.role();
            let of = [false, true]
                .into_iter()
                .find(|is_former| authority.certificate_of(role, *is_former) == Some(&with));
            // Of an authority that is neither, nobody is valid any more.
            if let Some(is_former) = of.filter(|_| self.only.is_none_or(|only| only == role)) {
                let one = Held {
                    authority: with,
                    der,
                    list,
                    is_new: false,
                };
                held.insert((role, is_former), one);
            }
        }
        held
    }

    fn write(&self, signed: &Signed) -> Result<()> {
        files::write_text(&self.out, &signed.pem)
            .map_err(|error| CliError::new(&error).hint(error.hint()))
    }
}

/// Signs the lists and writes them; if `if_due`, only those for which it is time.
pub(super) fn write(context: &Context, wanted: &Wanted, if_due: bool) -> Result<()> {
    let authority = open_ca(context)?;
    let here = wanted.signed_here(&authority)?;
    let held = wanted.held(&authority);
    let due = if if_due {
        due(&authority, &here, &held)?
    } else {
        here.into_iter().map(|of| (of, "asked for")).collect()
    };
    if due.is_empty() {
        let shown = wanted.out.display();
        context.say(
            &json!({"file": shown.to_string(), "signed": false}),
            &format!("{shown} has the lists that it should have"),
        );
        return Ok(());
    }
    let (signed, problems) = sign(&authority, wanted, held, &due, if_due)?;
    wanted.write(&signed)?;
    context.say(&signed.value, &signed.text);
    problems
        .into_iter()
        .next()
        .map_or(Ok(()), |(_, error)| Err(error))
}

/// Goes on until the process is ended, and signs when it is time. What fails is said and tried again.
pub(super) fn keep(context: &Context, wanted: &Wanted, every_s: u64) -> Result<()> {
    // Once, so that what can never be is an error of the command.
    wanted.signed_here(&open_ca(context)?)?;
    let mut kept = Kept::default();
    loop {
        if let Err(error) = kept.round(context, wanted) {
            output::problem(&error);
        }
        thread::sleep(Duration::from_secs(every_s));
    }
}

/// What a command that goes on knows.
#[derive(Default)]
struct Kept {
    /// Signed, and not yet in the file.
    unwritten: Option<Signed>,
    failed: BTreeMap<Of, Instant>,
}

impl Kept {
    fn round(&mut self, context: &Context, wanted: &Wanted) -> Result<()> {
        if self.unwritten.is_none() {
            let authority = open_ca(context)?;
            let held = wanted.held(&authority);
            let mut due = due(&authority, &wanted.signed_here(&authority)?, &held)?;
            self.failed.retain(|_, since| since.elapsed() < TRIED_AGAIN);
            due.retain(|(of, _)| !self.failed.contains_key(of));
            if due.is_empty() {
                return Ok(());
            }
            let (signed, problems) = sign(&authority, wanted, held, &due, true)?;
            for (of, error) in problems {
                output::problem(&error);
                self.failed.insert(of, Instant::now());
            }
            self.unwritten = Some(signed);
        }
        if let Some(signed) = &self.unwritten {
            wanted.write(signed)?;
            context.say(&signed.value, &signed.text);
        }
        self.unwritten = None;
        Ok(())
    }
}

/// For which of these it is time.
fn due(authority: &Authority, here: &[Of], held: &Lists) -> Result<Due> {
    let issued = authority.inventory().map_err(hinted)?;
    let now = now_ms();
    let mut due = Due::new();
    for of in here {
        let Some(Held { list, .. }) = held.get(of) else {
            due.push((*of, "there is none to go on with"));
            continue;
        };
        let revoked = issued
            .iter()
            .filter(|one| one.role == of.0 && one.revoked.is_some());
        let mut serials = revoked.map(|one| decode_hex(&one.serial).unwrap_or_default());
        let whole_ms = list.next_update_ms().saturating_sub(list.this_update_ms());
        if serials.any(|serial| list.revoked(&serial).is_none()) {
            due.push((*of, "something was revoked since"));
        } else if list.next_update_ms().saturating_sub(now) < whole_ms / 2 {
            due.push((*of, "half of its time is over"));
        }
    }
    Ok(due)
}

/// Signs these lists beside those that are held. Says which could not be signed: the others are.
fn sign(
    authority: &Authority,
    wanted: &Wanted,
    mut held: Lists,
    due: &Due,
    by_itself: bool,
) -> Result<(Signed, Vec<(Of, CliError)>)> {
    let now = now_ms();
    let (mut problems, mut reasons) = (Vec::new(), Vec::new());
    for (of, why) in due {
        let (role, is_former) = *of;
        let signed = if is_former {
            authority.former_list(role, now, wanted.valid_ms)
        } else {
            authority.revocation_list(role, now, wanted.valid_ms)
        };
        match signed {
            Ok(signed) => {
                let one = Held {
                    authority: signed.authority,
                    der: signed.der,
                    list: signed.list,
                    is_new: true,
                };
                held.insert(*of, one);
                reasons.push(format!("{}: {why}", name(*of)));
            }
            Err(error) => problems.push((*of, hinted(error))),
        }
    }
    if reasons.is_empty()
        && let Some((_, error)) = problems.pop()
    {
        return Err(error);
    }
    let elsewhere: Vec<&str> = Role::ALL
        .iter()
        .filter(|role| wanted.only.is_none() && !held.contains_key(&(**role, false)))
        .map(|role| role.word())
        .collect();
    let (mut pairs, mut lists, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    for (of, one) in held {
        let (role, is_former) = of;
        let (number, revoked) = (one.list.number(), one.list.len());
        let until = time(one.list.next_update_ms());
        let stays = if one.is_new { "" } else { ", as it was" };
        lines.push(format!(
            "  {}: number {number}, {revoked} revoked, in force until {until}{stays}",
            name(of)
        ));
        lists.push(
            json!({"role": role.word(), "former": is_former, "number": number, "revoked": revoked,
            "next_update": until, "signed": one.is_new}),
        );
        pairs.push((one.authority, one.der));
    }
    let pem = pem::lists_to_pem(&pairs).map_err(|error| {
        CliError::new(error).hint("write the lists of single roles, with `--role`")
    })?;
    let shown = wanted.out.display();
    if !elsewhere.is_empty() {
        let roles = elsewhere.join(", ");
        lines.push(format!(
            "  not in it, since their keys are not here: {roles}"
        ));
    }
    let why = by_itself.then(|| reasons.join("; "));
    let because = why
        .as_ref()
        .map_or_else(String::new, |why| format!(" ({why})"));
    let signed = Signed {
        value: json!({"file": shown.to_string(), "lists": lists, "keys_elsewhere": elsewhere,
            "signed": true, "why": why}),
        text: format!(
            "wrote {shown}{because}; name it in every node's node.toml, `revocation_lists`\n{}",
            lines.join("\n")
        ),
        pem,
    };
    Ok((signed, problems))
}

/// An authority in words.
fn name((role, is_former): Of) -> String {
    let before = if is_former { " before" } else { "" };
    format!("{role}{before}")
}
