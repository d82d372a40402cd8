//! Target: rules of what members may do, as modules read those that a member proposes.

use sealbook_policies::cases::Cases;
use sealbook_policies::{DEFAULT_SCHEMA, FILE_BYTES_MAX, PolicyError, PolicySet, plain};

/// A file of rules, under the schema of this version.
pub fn policies(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    let files = [("admin.cedar", text)];
    if plain::check(&files).is_err() {
        let refused = PolicySet::load_plain(DEFAULT_SCHEMA, &files);
        assert!(
            matches!(refused, Err(PolicyError::NotPlain { .. })),
            "read without being plain"
        );
        return false;
    }
    assert!(
        text.bytes()
            .all(|byte| byte == b'\n' || !byte.is_ascii_control())
    );
    // Whatever is plain is decided, or refused, without a panic and soon.
    text.len() <= FILE_BYTES_MAX
        && match PolicySet::load(DEFAULT_SCHEMA, &files) {
            Ok(set) => {
                assert!(set.rules().len() <= 64);
                assert!(Cases::of(&set).differences(&set).is_empty());
                let plain = PolicySet::load_plain(DEFAULT_SCHEMA, &files);
                assert_eq!(set.check_admins().is_ok(), plain.is_ok());
                true
            }
            Err(_) => false,
        }
}
