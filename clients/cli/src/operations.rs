//! What every command knows, and the commands about members.

use std::fs;
use std::path::PathBuf;

use sealbook_identity::{
    CertificateDer, IdentityError, Principal, RevocationReason, Usage, fingerprint, pem,
    verify_chain,
};
use sealbook_sdk::{AnswerBody, CertificateAnswer, Prepared, Question};
use serde_json::{Value, json};

use crate::arguments::{MemberCommand, Wait};
use crate::error::{CliError, Exit, Result, doing};
use crate::members::now_ms;
use crate::network::NetworkFiles;
use crate::session::{Done, Session};
use crate::{output, renewal};

/// What every command knows.
pub struct Context {
    /// The network's folder.
    pub folder: PathBuf,
    /// Whose keys to use.
    pub member: String,
    /// JSON instead of text.
    pub json: bool,
    /// How far an order must have come.
    pub wait: Wait,
}

impl Context {
    /// The network's files.
    ///
    /// # Errors
    /// There is no network in its folder.
    pub fn files(&self) -> Result<NetworkFiles> {
        NetworkFiles::open(&self.folder)
    }

    /// The result of an order, as JSON or as text.
    ///
    /// # Errors
    /// The ledger rejected the order or denied the caller.
    pub fn finish(&self, done: &Done) -> Result<()> {
        self.say(&done.to_json(None), &done.to_text());
        done.check()
    }

    /// One result, as JSON or as text.
    pub fn say(&self, value: &Value, text: &str) {
        if self.json {
            output::line(value);
        } else {
            output::line(text);
        }
    }
}

/// What members' certificates are read with.
#[derive(Default)]
pub struct Trust {
    network: String,
    roots: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// That of the network in this folder.
    ///
    /// # Errors
    /// The genesis document is missing or damaged.
    pub fn of(files: &NetworkFiles) -> Result<Self> {
        let genesis = files.genesis()?;
        let roots = genesis.certificate_roots.into_iter().map(Into::into);
        Ok(Self {
            roots: roots.collect(),
            network: genesis.network_name,
        })
    }

    /// Whose chain this is, and what is wrong with it. One that is out of date is read as of when it was not.
    fn read(&self, chain: &[Vec<u8>], now_ms: u64) -> (Option<Principal>, Option<IdentityError>) {
        let chain: Vec<CertificateDer<'static>> = chain.iter().cloned().map(Into::into).collect();
        let at = |time_ms| verify_chain(&self.roots, &chain, &self.network, time_ms, Usage::Member);
        match at(now_ms) {
            Ok(holder) => (Some(holder), None),
            Err(error) => {
                let then_ms = match &error {
                    IdentityError::Expired { not_after_ms, .. } => Some(*not_after_ms),
                    IdentityError::NotYetValid { not_before_ms, .. } => Some(*not_before_ms),
                    _ => None,
                };
                (then_ms.and_then(|then_ms| at(then_ms).ok()), Some(error))
            }
        }
    }

    /// Who is to be admitted with this chain (DER, leaf first).
    pub fn holder_json(&self, chain: &[Vec<u8>]) -> Value {
        let (holder, problem) = self.read(chain, now_ms());
        let holder = holder.as_ref();
        json!({
            "certificate": fingerprint_text(chain),
            "name": holder.map(|one| one.name.as_str()),
            "role": holder.map(|one| one.role.word()),
            "organisation": holder.map(|one| one.organisation.as_str()),
            "lei": holder.and_then(|one| one.lei).map(|lei| lei.to_string()),
            "valid_until": holder.map(|one| time(one.not_after_ms)),
            "problem": problem.map(|error| error.to_string()),
        })
    }

    /// The same in words.
    pub fn holder_facts(&self, chain: &[Vec<u8>]) -> Vec<String> {
        let certificate = fingerprint_text(chain).unwrap_or_default();
        let certificate = format!("certificate {certificate}");
        let (holder, problem) = self.read(chain, now_ms());
        let problem = problem.map(|error| error.to_string());
        let Some(holder) = holder else {
            let why = problem.unwrap_or_default();
            let text = format!("somebody whose certificate could not be read: {why}");
            return vec![text, certificate];
        };
        let lei = holder.lei.map(|lei| format!("LEI {lei}"));
        let mut facts = vec![
            holder.name,
            format!("role {}", holder.role),
            // Quoted, since nearly everything may stand in it.
            format!("organisation {:?}", holder.organisation),
            lei.unwrap_or_else(|| "no LEI".to_owned()),
            format!("valid until {}", time(holder.not_after_ms)),
        ];
        facts.extend(problem.map(|why| format!("not valid now: {why}")));
        facts.push(certificate);
        facts
    }
}

fn fingerprint_text(chain: &[Vec<u8>]) -> Option<String> {
    let leaf = CertificateDer::from(chain.first()?.as_slice());
    Some(fingerprint(&leaf).to_string())
}

/// A moment of the ledger for people.
pub fn time(time_ms: u64) -> String {
    i64::try_from(time_ms)
        .ok()
        .and_then(|time_ms| jiff::Timestamp::from_millisecond(time_ms).ok())
        .map_or_else(|| time_ms.to_string(), |time| time.to_string())
}

/// `sealbook member ...`, but for `enrol`, which is an action.
///
/// # Errors
/// What went wrong.
pub fn member(context: &Context, command: MemberCommand) -> Result<()> {
    let files = context.files()?;
    match command {
        MemberCommand::Enrol { .. } => Ok(()),
        MemberCommand::Request { out, new_key } => renewal::request(context, &out, new_key),
        MemberCommand::Renew(arguments) => renewal::renew(context, arguments),
        MemberCommand::Revoke {
            name,
            chain,
            reason,
        } => renewal::revoke(context, name, chain, &reason),
        MemberCommand::List => {
            let mut names = Vec::new();
            for entry in fs::read_dir(files.folder().join("members")).map_err(doing("members"))? {
                let name = entry.map_err(doing("members"))?.file_name();
                let name = name.to_string_lossy().into_owned();
                if !name.starts_with('.') {
                    names.push(name);
                }
            }
            names.sort();
            context.say(&json!({ "members": names }), &names.join("\n"));
            Ok(())
        }
        MemberCommand::Admit { chain } => {
            let text =
                sealbook_identity::files::read_text(&chain, 64 * 1024).map_err(CliError::new)?;
            let chain = pem::chain_from_pem(&text).map_err(CliError::new)?;
            let chain = chain
                .into_iter()
                .map(|certificate| certificate.to_vec())
                .collect();
            let done = Session::open(&files)?.submit(
                &context.member,
                Prepared::admit(chain),
                context.wait,
            )?;
            context.finish(&done)
        }
        MemberCommand::Show => {
            let mut session = Session::open(&files)?;
            let answer = session
                .client(&context.member)?
                .ask(&Question::Member)
                .map_err(CliError::new)?;
            match answer.body {
                AnswerBody::Member(member) => {
                    let own = member.certificates.iter();
                    let own: Vec<Value> = own.map(certificate_json).collect();
                    let mut lines = vec![format!(
                        "{} ({}), {}",
                        member.name, member.role, member.organisation
                    )];
                    lines.extend(member.certificates.iter().map(certificate_line));
                    context.say(
                        &json!({"name": member.name, "role": member.role,
                            "organisation": member.organisation, "height": answer.height,
                            "certificates": own}),
                        &lines.join("\n"),
                    );
                    Ok(())
                }
                _ => Err(CliError::with_exit(
                    Exit::Denied,
                    "the ledger does not know this certificate",
                )),
            }
        }
    }
}

fn reason(code: u8) -> &'static str {
    RevocationReason::from_code(code).map_or("unknown", RevocationReason::word)
}

fn certificate_json(one: &CertificateAnswer) -> Value {
    let revoked = one
        .revoked
        .map(|(height, code)| json!({"height": height, "reason": reason(code)}));
    json!({"certificate": one.fingerprint.to_string(), "valid_until": time(one.ends_ms), "revoked": revoked})
}

fn certificate_line(one: &CertificateAnswer) -> String {
    let revoked = one.revoked.map_or_else(String::new, |(height, code)| {
        format!(", revoked at height {height}: {}", reason(code))
    });
    let until = time(one.ends_ms);
    format!("  certificate {} until {until}{revoked}", one.fingerprint)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sealbook_authority::Authority;
    use sealbook_identity::Role;

    use super::*;
    use crate::members::{Enrolment, make_certified, validity};

    #[test]
    fn a_chain_shows_its_holder_and_one_that_cannot_be_read_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let now = now_ms();
        let authority = Authority::create(&folder.path().join("ca"), "testnet", now).unwrap();
        let enrolment = Enrolment {
            name: "alpha".to_owned(),
            organisation: "Alpha, role admin".to_owned(),
            role: Role::Firm,
            lei: Some("5493001KJTIIGC8Y1R12".parse().unwrap()),
        };
        let own = folder.path().join("alpha");
        let chain =
            make_certified(&authority, &own, &enrolment, "testnet", validity(now, None)).unwrap();
        let trust = Trust {
            network: "testnet".to_owned(),
            roots: vec![authority.root().clone()],
        };
        let shown = trust.holder_json(&chain);
        assert_eq!(shown["name"], "alpha");
        assert_eq!(shown["role"], "firm");
        assert_eq!(shown["lei"], "5493001KJTIIGC8Y1R12");
        assert_eq!(shown["problem"], Value::Null);
        let words = trust.holder_facts(&chain).join(", ");
        let expected = "alpha, role firm, organisation \"Alpha, role admin\", LEI 5493001KJTIIGC8Y1R12, valid until ";
        assert!(words.starts_with(expected), "{words}");

        let (holder, problem) = trust.read(&chain, now + 400 * 24 * 3_600_000);
        assert_eq!(holder.unwrap().name, "alpha");
        assert!(matches!(problem, Some(IdentityError::Expired { .. })));

        let shown = Trust::default().holder_json(&chain);
        assert_eq!(shown["name"], Value::Null);
        assert!(shown["certificate"].is_string() && shown["problem"].is_string());
        let words = Trust::default().holder_facts(&chain).join(", ");
        assert!(words.contains("could not be read"), "{words}");
    }
}
