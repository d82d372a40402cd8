//! Members' certificates after their admission: asked for anew, renewed and revoked on the ledger.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sealbook_authority::{Authority, certificate_request};
use sealbook_identity::{
    CertificateDer, Principal, RevocationReason, Role, Usage, claimed_key, files, fingerprint, pem,
    verify_chain_in_its_time,
};
use sealbook_primitives::secret::Secret32;
use sealbook_primitives::signature::SigningKey;
use sealbook_sdk::{AnswerBody, Identity, Prepared, Question, RevocationTarget, Stage};
use serde_json::json;

use crate::arguments::{RenewArguments, Wait};
use crate::error::{CliError, Exit, Result, doing};
use crate::members::{now_ms, validity};
use crate::network::{NetworkFiles, make_private_folder, read_key};
use crate::operations::{Context, time};
use crate::output;
use crate::session::{Done, Session};

const DAY_MS: u64 = 24 * 3_600_000;
const PEM_BYTES_MAX: usize = 64 * 1024;
/// For how long nodes are asked whether a certificate counts, and for how long to take an order.
const PROBE_PATIENCE: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(60);

type Chain = Vec<CertificateDer<'static>>;

/// `sealbook member request`: a signing request with the names in one's own certificate.
///
/// # Errors
/// There are no keys of this member, or the folder cannot be written.
pub fn request(context: &Context, out: &Path, new_key: bool) -> Result<()> {
    let files = context.files()?;
    let (seed, chain) = own(&files, &context.member)?;
    let holder = holder(&files, &chain)?;
    let (seed, made) = if new_key {
        (Secret32::random(), "key.pem and ")
    } else {
        (seed, "")
    };
    let text = request_of(&holder, &seed)?;
    fs::create_dir_all(out).map_err(doing(out.display()))?;
    if new_key {
        files::write_private_key(&out.join("key.pem"), &seed).map_err(CliError::new)?;
    }
    files::write_text(&out.join("request.pem"), &text).map_err(CliError::new)?;
    let shown = out.display();
    context.say(
        &json!({"folder": shown.to_string(), "new_key": new_key}),
        &format!(
            "wrote {made}request.pem in {shown}; send request.pem to the CA, and `sealbook member renew` with what it returns"
        ),
    );
    Ok(())
}

/// `sealbook member renew`
///
/// # Errors
/// The files do not go together, or the ledger refused.
pub fn renew(context: &Context, arguments: RenewArguments) -> Result<()> {
    let files = context.files()?;
    let RenewArguments {
        chain,
        key,
        new_key,
        days,
    } = arguments;
    // With a chain that is given, what an interrupted renewal left can be put in order.
    let (seed, present) = match chain {
        Some(_) => read_own(&files, &context.member)?,
        None => own(&files, &context.member)?,
    };
    let (seed, chain) = match chain {
        Some(chain) => {
            let chain = read_chain(&chain)?;
            let seed = match key {
                Some(key) => read_key(&key)?,
                None => seed,
            };
            (seed, chain)
        }
        None => certify(
            &files,
            &present,
            if new_key { Secret32::random() } else { seed },
            days,
        )?,
    };
    let (renewed, present) = (holder(&files, &chain)?, holder(&files, &present)?);
    if renewed.name != present.name {
        // Somebody else's, for which no key is needed. Whose it is and for which key, whoever signs must see.
        if !context.json {
            output::line(format!(
                "renewing {}, role {}, for key {}, certificate {}",
                renewed.name, renewed.role, renewed.key, renewed.fingerprint
            ));
        }
        let done = Session::open(&files)?.submit(
            &context.member,
            Prepared::renew(der(&chain)),
            context.wait,
        )?;
        return context.finish(&done);
    }
    let public = SigningKey::from_secret(&seed).verifying_key();
    if public != renewed.key {
        let error = "the certificate is for another key than the one given";
        return Err(CliError::with_exit(Exit::Usage, error)
            .hint("give the key that it was requested with, with --key"));
    }
    let folder = files.member(&context.member);
    let same_key = renewed.key == present.key;
    // Everything is on the disk before the ledger knows of it.
    let aside = Aside::write(&folder, &seed, &chain, same_key)?;
    // The certificate in use signs, where it counts. The new one signs for itself where no other counts any more, and
    // where the ledger knows it already, because an admin has renewed this member.
    let mut session = Session::open(&files)?;
    let in_use = now_ms() <= present.not_after_ms;
    if !(in_use && is_known(&mut session, &context.member).unwrap_or(false)) {
        let identity = Identity::new(&seed, chain.clone()).map_err(CliError::new)?;
        session.take_identity(&context.member, identity)?;
    }
    // Whether the files are of use shows only in the outcome.
    let wait = if context.wait == Wait::Ordered {
        Wait::Outcome
    } else {
        context.wait
    };
    let done = session.submit(&context.member, Prepared::renew(der(&chain)), wait)?;
    if done.outcome != "settled" {
        return context.finish(&done);
    }
    let former = aside.install(&folder, &present)?;
    report(context, &done, &former);
    Ok(())
}

/// Whether a member's certificate counts on the ledger.
fn is_known(session: &mut Session, member: &str) -> Result<bool> {
    let client = session.client(member)?;
    // Where it is revoked, no node lets it in, and there is nothing to wait for.
    client.set_patience(PROBE_PATIENCE);
    let answer = client.ask(&Question::Member);
    client.set_patience(PATIENCE);
    Ok(matches!(
        answer.map_err(CliError::new)?.body,
        AnswerBody::Member(_)
    ))
}

/// `sealbook node renew`
///
/// # Errors
/// The files do not go together, or the CA is not here.
pub fn renew_node(
    context: &Context,
    files: &NetworkFiles,
    name: &str,
    (chain, days): (Option<&Path>, u32),
    tell: bool,
) -> Result<()> {
    let _ = files.entry(name)?;
    let folder = files.node(name);
    let seed = read_key(&folder.join("key.pem"))?;
    let present = files::read_chain(&folder.join("chain.pem")).map_err(CliError::new)?;
    let (seed, chain) = match chain {
        Some(chain) => (seed, read_chain(chain)?),
        None => certify(files, &present, seed, days)?,
    };
    let renewed = holder(files, &chain)?;
    if (renewed.name.as_str(), renewed.role) != (name, Role::Node)
        || SigningKey::from_secret(&seed).verifying_key() != renewed.key
    {
        let error = format!("the certificate is not for `{name}` and its key");
        return Err(CliError::with_exit(Exit::Usage, error)
            .hint("a node keeps its key, by which the members know it"));
    }
    files::write_chain(&folder.join("chain.pem"), &chain).map_err(CliError::new)?;
    let until = time(renewed.not_after_ms);
    if tell {
        let identity = Identity::new(&seed, chain.clone()).map_err(CliError::new)?;
        let mut session = Session::open(files)?;
        session.take_identity(name, identity)?;
        let client = session.client(name)?;
        let told = client.submit(&[Prepared::renew(der(&chain))], Stage::Final);
        let told = told.map_err(CliError::new)?;
        if let Some(outcome) = told.outcomes.first().filter(|one| !one.is_accepted()) {
            return Err(CliError::with_exit(Exit::Rejected, outcome));
        }
    }
    context.say(
        &json!({"node": name, "valid_until": until}),
        &format!("{name} has a certificate until {until}; it takes it when it starts anew: sealbook node stop {name}; sealbook node start {name}"),
    );
    Ok(())
}

/// `sealbook member revoke`
///
/// # Errors
/// The chain cannot be read, or the ledger refused.
pub fn revoke(
    context: &Context,
    name: Option<String>,
    chain: Option<PathBuf>,
    reason: &str,
) -> Result<()> {
    let reason: RevocationReason = reason
        .parse()
        .map_err(|error| CliError::with_exit(Exit::Usage, error))?;
    let target = match (name, chain) {
        (Some(name), None) => RevocationTarget::Member(name),
        (None, Some(chain)) => RevocationTarget::Certificate(der(&read_chain(&chain)?)),
        _ => {
            let error = "name either a member or, with --chain, one certificate";
            return Err(CliError::with_exit(Exit::Usage, error));
        }
    };
    let files = context.files()?;
    let order = Prepared::revoke(target, reason.code());
    let done = Session::open(&files)?.submit(&context.member, order, context.wait)?;
    context.finish(&done)
}

/// Key and certificate chain of a member whose files are here, which belong together.
fn own(files: &NetworkFiles, member: &str) -> Result<(Secret32, Chain)> {
    let (seed, chain) = read_own(files, member)?;
    let key = chain.first().and_then(claimed_key);
    if key != Some(SigningKey::from_secret(&seed).verifying_key()) {
        let shown = files.member(member).display().to_string();
        return Err(
            CliError::new(format!("key.pem and chain.pem in `{shown}` do not belong together")).hint(
                format!("if a renewal was interrupted: sealbook member renew --chain {shown}/renewal-.../chain.pem"),
            ),
        );
    }
    Ok((seed, chain))
}

/// The same as they are.
fn read_own(files: &NetworkFiles, member: &str) -> Result<(Secret32, Chain)> {
    let folder = files.member(member);
    if sealbook_identity::check_short_name(member).is_err() || !folder.is_dir() {
        return Err(
            CliError::new(format!("no keys of `{member}` in this network's folder"))
                .hint("`sealbook member list` shows whose keys are here"),
        );
    }
    let seed = read_key(&folder.join("key.pem"))?;
    let chain = files::read_chain(&folder.join("chain.pem")).map_err(CliError::new)?;
    Ok((seed, chain))
}

fn read_chain(path: &Path) -> Result<Chain> {
    let text = files::read_text(path, PEM_BYTES_MAX).map_err(CliError::new)?;
    pem::chain_from_pem(&text).map_err(CliError::new)
}

fn der(chain: &Chain) -> Vec<Vec<u8>> {
    chain
        .iter()
        .map(|certificate| certificate.to_vec())
        .collect()
}

/// Whose chain this is, also if it has ended.
fn holder(files: &NetworkFiles, chain: &Chain) -> Result<Principal> {
    let genesis = files.genesis()?;
    let roots = genesis.certificate_roots.into_iter().map(Into::into);
    let roots: Vec<CertificateDer<'static>> = roots.collect();
    let name = &genesis.network_name;
    verify_chain_in_its_time(&roots, chain, name, now_ms(), Usage::Any)
        .map_err(|error| CliError::new(&error).hint(error.hint()))
}

fn request_of(holder: &Principal, seed: &Secret32) -> Result<String> {
    let Principal {
        name,
        organisation,
        role,
        lei,
        network,
        ..
    } = holder;
    certificate_request(name, organisation, *role, *lei, network, seed).map_err(CliError::new)
}

/// Has the CA in the network's folder certify a key under the names of a chain.
fn certify(
    files: &NetworkFiles,
    chain: &Chain,
    seed: Secret32,
    days: u32,
) -> Result<(Secret32, Chain)> {
    let authority = Authority::open(&files.ca()).map_err(|error| {
        CliError::new(&error).hint(
            "without the CA in this folder: `sealbook member request`, and then --chain with what the CA returns",
        )
    })?;
    let request = request_of(&holder(files, chain)?, &seed)?;
    let now = now_ms();
    let until_ms = now.saturating_add(u64::from(days).saturating_mul(DAY_MS));
    let approved = authority.approve(&request, validity(now, Some(until_ms)));
    let approved = approved.map_err(|error| CliError::new(&error).hint(error.hint()))?;
    Ok((seed, pem::chain_from_pem(&approved).map_err(CliError::new)?))
}

fn report(context: &Context, done: &Done, former: &Path) {
    let mut shown = done.to_json(None);
    if let serde_json::Value::Object(object) = &mut shown {
        object.insert("former".to_owned(), json!(former.display().to_string()));
    }
    let text = done.to_text();
    let former = former.display();
    context.say(
        &shown,
        &format!("{text}\nwhat was used before lies in {former}"),
    );
}

/// A member's new files, beside those in use.
struct Aside {
    chain: PathBuf,
    key: Option<PathBuf>,
}

impl Aside {
    fn write(folder: &Path, seed: &Secret32, chain: &Chain, same_key: bool) -> Result<Self> {
        let shown: String = fingerprint_of(chain).chars().take(16).collect();
        let aside = folder.join(format!("renewal-{shown}"));
        make_private_folder(&aside)?;
        let (new_chain, new_key) = (aside.join("chain.pem"), aside.join("key.pem"));
        files::write_chain(&new_chain, chain).map_err(CliError::new)?;
        if same_key {
            return Ok(Self {
                chain: new_chain,
                key: None,
            });
        }
        if !new_key.exists() {
            files::write_private_key(&new_key, seed).map_err(CliError::new)?;
        }
        Ok(Self {
            chain: new_chain,
            key: Some(new_key),
        })
    }

    /// Puts the new files in the place of those in use, which are kept: the old key opens the replies to what it signed.
    fn install(self, folder: &Path, present: &Principal) -> Result<PathBuf> {
        let shown: String = present.fingerprint.to_string().chars().take(16).collect();
        let former = folder.join(format!("former-{shown}"));
        make_private_folder(&former)?;
        let at = |path: &Path| doing(path.display().to_string());
        for name in ["chain.pem", "key.pem"] {
            let (from, to) = (folder.join(name), former.join(name));
            if !to.exists() {
                fs::hard_link(&from, &to).map_err(at(&to))?;
            }
        }
        files::synchronise_directory(&former.join("key.pem")).map_err(at(&former))?;
        let aside = self.chain.parent().map(Path::to_path_buf);
        if let Some(key) = self.key {
            let own = folder.join("key.pem");
            fs::rename(key, &own).map_err(at(&own))?;
        }
        let own = folder.join("chain.pem");
        fs::rename(self.chain, &own).map_err(at(&own))?;
        // Should more lie there, it stays.
        if let Some(aside) = aside {
            let _ = fs::remove_dir(&aside);
        }
        files::synchronise_directory(&own).map_err(at(folder))?;
        Ok(former)
    }
}

fn fingerprint_of(chain: &Chain) -> String {
    chain
        .first()
        .map(|leaf| fingerprint(leaf).to_string())
        .unwrap_or_default()
}
