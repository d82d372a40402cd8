//! `sealbook ca crl`: the revocation lists of the issuing CAs, when asked, when it is time, or again and again.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use sealbook_authority::Authority;
use sealbook_identity::{Role, files, pem};
use serde_json::json;

use super::{DAY_MS, hinted, open_ca};
use crate::error::{CliError, Exit, Result};
use crate::members::now_ms;
use crate::operations::{Context, time};
use crate::output;

/// Which lists are to be in which file, and for how long.
pub(super) struct Wanted {
    out: PathBuf,
    only: Option<Role>,
    valid_ms: u64,
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

    fn roles(&self, authority: &Authority) -> Result<Vec<Role>> {
        let roles = self
            .only
            .map_or_else(|| authority.roles(), |role| vec![role]);
        if roles.is_empty() {
            let error = "none of the issuing keys is here";
            return Err(CliError::new(error).hint("sign the lists where the keys are kept"));
        }
        Ok(roles)
    }
}

/// Signs the lists and writes them; if `if_due`, only when it is time.
pub(super) fn write(context: &Context, wanted: &Wanted, if_due: bool) -> Result<()> {
    let authority = open_ca(context)?;
    let why = if if_due {
        match due(&authority, wanted)? {
            None => {
                let shown = wanted.out.display();
                context.say(
                    &json!({"file": shown.to_string(), "signed": false}),
                    &format!("{shown} has the last lists, and it is not time for others"),
                );
                return Ok(());
            }
            why => why,
        }
    } else {
        None
    };
    sign(context, &authority, wanted, why.as_deref())
}

/// Goes on until the process is ended, and signs when it is time. What fails is said and tried again.
pub(super) fn keep(context: &Context, wanted: &Wanted, every_s: u64) -> Result<()> {
    // Once, so that what can never be is an error of the command.
    wanted.roles(&open_ca(context)?)?;
    loop {
        let round = || {
            let authority = open_ca(context)?;
            match due(&authority, wanted)? {
                None => Ok(()),
                Some(why) => sign(context, &authority, wanted, Some(&why)),
            }
        };
        if let Err(error) = round() {
            output::problem(&error);
        }
        thread::sleep(Duration::from_secs(every_s));
    }
}

/// Why it is time for new lists, if it is.
fn due(authority: &Authority, wanted: &Wanted) -> Result<Option<String>> {
    let now = now_ms();
    let roots = [authority.root().clone()];
    let paths = [wanted.out.clone()];
    let found = match files::read_lists(&paths, &roots, authority.network(), now) {
        Ok(found) => found,
        Err(error) => return Ok(Some(format!("there are none to go on with: {error}"))),
    };
    for role in wanted.roles(authority)? {
        let last = authority.last_list(role).map_err(hinted)?;
        let here = found.iter().find(|list| list.role() == role);
        let why = match (here, last) {
            (Some(here), Some(last)) if here.number() == last.number => {
                let left_ms = last.next_update_ms.saturating_sub(now);
                if last.is_behind {
                    "something was revoked since"
                } else if left_ms < wanted.valid_ms / 2 {
                    "less than half of the time is left"
                } else {
                    continue;
                }
            }
            _ => "the last list is not there",
        };
        return Ok(Some(format!("{role}: {why}")));
    }
    Ok(None)
}

fn sign(
    context: &Context,
    authority: &Authority,
    wanted: &Wanted,
    why: Option<&str>,
) -> Result<()> {
    let now = now_ms();
    let roles = wanted.roles(authority)?;
    let elsewhere: Vec<&str> = Role::ALL
        .iter()
        .filter(|role| wanted.only.is_none() && !roles.contains(role))
        .map(|role| role.word())
        .collect();
    let (mut pairs, mut lists, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    for role in roles {
        let signed = authority
            .revocation_list(role, now, wanted.valid_ms)
            .map_err(hinted)?;
        let (number, revoked) = (signed.list.number(), signed.list.len());
        let until = time(signed.list.next_update_ms());
        lines.push(format!(
            "  {role}: number {number}, {revoked} revoked, in force until {until}"
        ));
        lists.push(
            json!({"role": role.word(), "number": number, "revoked": revoked,
            "next_update": until}),
        );
        pairs.push((signed.authority, signed.der));
    }
    let text = pem::lists_to_pem(&pairs).map_err(|error| {
        CliError::new(error).hint("write the lists of single roles, with `--role`")
    })?;
    files::write_text(&wanted.out, &text)
        .map_err(|error| CliError::new(&error).hint(error.hint()))?;
    let shown = wanted.out.display();
    if !elsewhere.is_empty() {
        let roles = elsewhere.join(", ");
        lines.push(format!(
            "  not in it, since their keys are not here: {roles}"
        ));
    }
    let because = why.map_or_else(String::new, |why| format!(" ({why})"));
    context.say(
        &json!({"file": shown.to_string(), "lists": lists, "keys_elsewhere": elsewhere,
            "signed": true, "why": why}),
        &format!(
            "wrote {shown}{because}; name it in every node's node.toml, `revocation_lists`\n{}",
            lines.join("\n")
        ),
    );
    Ok(())
}
