//! `sealbook ca inventory`: what was certified and how it stands; for people, as JSON, and for Prometheus.

use std::collections::BTreeMap;
use std::path::Path;

use comfy_table::Table;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use sealbook_authority::{Authority, Issued, Standing, standings};
use sealbook_identity::{Role, files};
use serde_json::Value;

use super::{hinted, issued_json};
use crate::error::{CliError, Result};
use crate::members::now_ms;
use crate::operations::{Context, time};

/// Shows it.
pub(super) fn run(
    context: &Context,
    soon_ms: u64,
    only_due: bool,
    metrics: Option<&Path>,
) -> Result<()> {
    let authority = Authority::look(&context.files()?.ca()).map_err(hinted)?;
    let issued = authority.inventory().map_err(hinted)?;
    let stand = standings(&issued, now_ms(), soon_ms);
    if let Some(path) = metrics {
        let text = exposition(&authority, &issued, &stand)?;
        files::write_text(path, &text).map_err(|error| {
            let hint = error.hint();
            CliError::new(error).hint(hint)
        })?;
    }
    let mut table = Table::new();
    table.set_header(["name", "role", "serial", "valid until", "is", "revoked"]);
    let mut rows = Vec::new();
    for (entry, standing) in issued.iter().zip(&stand) {
        if only_due && !matches!(standing, Standing::EndsSoon | Standing::Ended) {
            continue;
        }
        let until = time(entry.not_after_ms);
        let revoked = entry.revoked.map_or_else(String::new, |revoked| {
            format!("{}, {}", time(revoked.revoked_ms), revoked.reason)
        });
        let role = entry.role.to_string();
        let is = standing.word();
        table.add_row([&entry.name, &role, &entry.serial, &until, is, &revoked]);
        let mut row = issued_json(entry);
        if let Value::Object(row) = &mut row {
            row.insert("is".to_owned(), Value::from(is));
        }
        rows.push(row);
    }
    context.say(&Value::Array(rows), &table.to_string());
    Ok(())
}

/// Counts and ends as Prometheus reads them: no holder is named. Times are seconds since 1970.
fn exposition(authority: &Authority, issued: &[Issued], stand: &[Standing]) -> Result<String> {
    let mut registry = Registry::with_prefix("sealbook_ca");
    let ends = Gauges::default();
    for (role, end_ms) in authority.ends().map_err(hinted)? {
        let name = role.map_or("root", Role::word);
        ends.set([("authority", name)], end_ms / 1_000);
    }
    ends.register(
        &mut registry,
        "authority_not_after_seconds",
        "When the certificate of the root or of an issuing CA ends",
    );
    let mut counts: BTreeMap<(Role, Standing), u64> = BTreeMap::new();
    let mut next: BTreeMap<Role, u64> = BTreeMap::new();
    for (entry, standing) in issued.iter().zip(stand) {
        let count = counts.entry((entry.role, *standing)).or_default();
        *count = count.saturating_add(1);
        if matches!(
            standing,
            Standing::Valid | Standing::EndsSoon | Standing::Ended
        ) {
            let end = next.entry(entry.role).or_insert(u64::MAX);
            *end = entry.not_after_ms.min(*end);
        }
    }
    let certificates = Gauges::default();
    for role in Role::ALL {
        for standing in Standing::ALL {
            let count = counts.get(&(role, standing)).copied().unwrap_or(0);
            let labels = [("role", role.word()), ("is", standing.word())];
            certificates.set(labels, count);
        }
    }
    certificates.register(
        &mut registry,
        "certificates",
        "How many certificates stand how",
    );
    let first = Gauges::default();
    for (role, end_ms) in next {
        first.set([("role", role.word())], end_ms / 1_000);
    }
    first.register(
        &mut registry,
        "next_not_after_seconds",
        "When the first certificate of a role ends, or ended of late, that was not renewed",
    );
    let lists = Gauges::default();
    for (role, end_ms) in authority.lists_end().map_err(hinted)? {
        lists.set([("role", role.word())], end_ms / 1_000);
    }
    lists.register(
        &mut registry,
        "list_next_update_seconds",
        "Until when the last revocation list of a role's issuing CA is in force",
    );
    let mut text = String::new();
    encode(&mut text, &registry).map_err(CliError::new)?;
    Ok(text)
}

/// Values of one kind, each with its labels.
#[derive(Default)]
struct Gauges<const N: usize>(Family<[(&'static str, &'static str); N], Gauge>);

impl<const N: usize> Gauges<N> {
    fn set(&self, labels: [(&'static str, &'static str); N], value: u64) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.0.get_or_create(&labels).set(value);
    }

    fn register(self, registry: &mut Registry, name: &str, help: &str) {
        registry.register(name, help, self.0);
    }
}
