//! `sealbook ca`: the CA whose keys lie in the network's folder, and requests to one that is elsewhere.

use std::fs;
use std::path::Path;

use sealbook_authority::{Authority, AuthorityError, Issued, Promised, certificate_request};
use sealbook_identity::{CertificateRequest, Lei, RevocationReason, Role, files};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::secret::Secret32;
use serde_json::{Value, json};

use crate::arguments::CaCommand;
use crate::error::{CliError, Exit, Result, doing};
use crate::members::now_ms;
use crate::operations::{Context, time};

mod inventory;
mod lists;
mod tokens;

const DAY_MS: u64 = 24 * 3_600_000;

/// `sealbook ca ...`
///
/// # Errors
/// What went wrong.
pub fn run(context: &Context, command: CaCommand) -> Result<()> {
    match command {
        CaCommand::Request {
            holder,
            network_name,
            out,
        } => {
            let usage = |error: &dyn std::fmt::Display| CliError::with_exit(Exit::Usage, error);
            let (role, lei) = role_and_lei(&holder.role, holder.lei.as_deref())?;
            let (name, organisation) = (holder.name, holder.organisation);
            fs::create_dir_all(&out).map_err(doing(out.display()))?;
            let seed = Secret32::random();
            let request =
                certificate_request(&name, &organisation, role, lei, &network_name, &seed)
                    .map_err(|error| usage(&error))?;
            files::write_private_key(&out.join("key.pem"), &seed).map_err(CliError::new)?;
            fs::write(out.join("request.pem"), request).map_err(doing("request.pem"))?;
            let shown = out.display();
            context.say(
                &json!({"folder": shown.to_string()}),
                &format!("wrote key.pem and request.pem in {shown}; send request.pem to the CA"),
            );
            Ok(())
        }
        CaCommand::Approve { request, out, days } => approve(context, &request, &out, days),
        CaCommand::Token {
            holder,
            hours,
            days,
            out,
        } => {
            let until_ms = u64::from(hours).saturating_mul(3_600_000);
            let until_ms = now_ms().saturating_add(until_ms);
            let (role, lei) = role_and_lei(&holder.role, holder.lei.as_deref())?;
            let promised = Promised {
                network: String::new(),
                name: holder.name,
                role,
                organisation: holder.organisation,
                lei,
                until_ms,
                days,
                root: Digest::ZERO,
            };
            tokens::make(context, promised, &out)
        }
        CaCommand::Serve { listen } => tokens::serve(context, listen),
        CaCommand::Enrol { token, at, out } => tokens::enrol(context, &token, at, &out),
        CaCommand::Rotate { role } => rotate(context, &role),
        CaCommand::Inventory {
            within,
            due,
            metrics,
        } => inventory::run(
            context,
            u64::from(within).saturating_mul(DAY_MS),
            due,
            metrics.as_deref(),
        ),
        CaCommand::Revoke { who, reason } => {
            let reason: RevocationReason = reason
                .parse()
                .map_err(|error| CliError::with_exit(Exit::Usage, error))?;
            let authority = open_ca(context)?;
            let issued = authority.revoke(&who, reason, now_ms()).map_err(hinted)?;
            let Issued {
                name, role, serial, ..
            } = &issued;
            context.say(
                &issued_json(&issued),
                &format!(
                    "revoked the certificate of {name}, role {role}, serial number {serial}, reason {reason}; \
                     `sealbook ca crl` makes the list that tells the nodes"
                ),
            );
            Ok(())
        }
        CaCommand::Crl {
            out,
            role,
            days,
            if_due,
            keep,
            every,
        } => {
            let wanted = lists::Wanted::new(&out, role.as_deref(), days)?;
            match (keep, if_due) {
                (true, _) => lists::keep(context, &wanted, every),
                (false, if_due) => lists::write(context, &wanted, if_due),
            }
        }
    }
}

/// `sealbook ca approve`
fn approve(context: &Context, request: &Path, out: &Path, days: u32) -> Result<()> {
    let authority = open_ca(context)?;
    let text = files::read_text(request, 64 * 1024).map_err(CliError::new)?;
    let now = now_ms();
    let validity = (
        now.saturating_sub(DAY_MS / 24),
        now.saturating_add(u64::from(days).saturating_mul(DAY_MS)),
    );
    let chain = authority.approve(&text, validity).map_err(CliError::new)?;
    fs::write(out, chain).map_err(doing(out.display()))?;
    let shown = out.display();
    let next = match CertificateRequest::from_pem(&text) {
        Ok(request) if request.role == Role::Node => format!(
            "put it beside the node's key as chain.pem and, once the members have admitted the node, \
                 `sealbook node join {}`",
            request.name
        ),
        _ => "admit it with `sealbook member admit`".to_owned(),
    };
    context.say(
        &json!({"chain": shown.to_string()}),
        &format!("wrote {shown}; {next}"),
    );
    Ok(())
}

/// `sealbook ca rotate`
fn rotate(context: &Context, role: &str) -> Result<()> {
    let (role, _) = role_and_lei(role, None)?;
    let now = now_ms();
    let rotated = open_ca(context)?.rotate(role, now).map_err(hinted)?;
    let before = rotated.under_former(role, now).map_err(hinted)?;
    context.say(
        &json!({"role": role.word(), "under_former": before}),
        &format!(
            "certificates for role {role} come from a new issuing CA; {before} under the one before stay valid until they end or \
             are revoked\nsign the revocation lists of both: sealbook ca crl; a `sealbook ca serve` that runs has to be started anew"
        ),
    );
    Ok(())
}

fn role_and_lei(role: &str, lei: Option<&str>) -> Result<(Role, Option<Lei>)> {
    let usage = |error: &dyn std::fmt::Display| CliError::with_exit(Exit::Usage, error);
    let role = role.parse().map_err(|error| usage(&error))?;
    let lei = lei.map(str::parse).transpose();
    Ok((role, lei.map_err(|error| usage(&error))?))
}

/// The CA of the network's folder.
fn open_ca(context: &Context) -> Result<Authority> {
    Authority::open(&context.files()?.ca()).map_err(hinted)
}

fn hinted(error: AuthorityError) -> CliError {
    let exit = match error {
        AuthorityError::NeverIssued { .. }
        | AuthorityError::AlreadyRevoked { .. }
        | AuthorityError::ExpiredAlready { .. }
        | AuthorityError::SeveralCertificates { .. } => Exit::Usage,
        _ => Exit::Failed,
    };
    CliError::with_exit(exit, &error).hint(error.hint())
}

fn issued_json(issued: &Issued) -> Value {
    let revoked = issued
        .revoked
        .map(|one| json!({"at": time(one.revoked_ms), "reason": one.reason.word()}));
    json!({"name": issued.name, "role": issued.role.word(), "serial": issued.serial,
        "valid_until": time(issued.not_after_ms), "revoked": revoked})
}
