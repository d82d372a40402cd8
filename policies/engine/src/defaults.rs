//! The rules that come with this version, compiled in.

/// The schema: the words that rules may use.
pub const DEFAULT_SCHEMA: &str = include_str!("../../schema.cedarschema");

/// The rules: file name and text, one file a role.
pub const DEFAULT_FILES: &[(&str, &str)] = &[
    ("admin.cedar", include_str!("../../admin.cedar")),
    ("cash-agent.cedar", include_str!("../../cash-agent.cedar")),
    ("firm.cedar", include_str!("../../firm.cedar")),
    ("issuer.cedar", include_str!("../../issuer.cedar")),
    ("node.cedar", include_str!("../../node.cedar")),
    ("oracle.cedar", include_str!("../../oracle.cedar")),
    ("regulator.cedar", include_str!("../../regulator.cedar")),
];
