//! The names of the actions, as the schema and the rules spell them.

/// Let a certificate take part.
pub const ADMIT_MEMBER: &str = "admit-member";
/// Give a member a further certificate.
pub const RENEW_CERTIFICATE: &str = "renew-certificate";
/// Revoke certificates, for good.
pub const REVOKE_CERTIFICATE: &str = "revoke-certificate";
/// Open the next business date.
pub const OPEN_DAY: &str = "open-day";
/// Register a security, its issuer and its treasury account.
pub const REGISTER_ISSUE: &str = "register-issue";
/// Create units of a security in its treasury account.
pub const ISSUE_UNITS: &str = "issue-units";
/// Open an account for a holder.
pub const OPEN_ACCOUNT: &str = "open-account";
/// Hand units from the treasury to an account, free of payment.
pub const ALLOCATE: &str = "allocate";
/// Issue money tokens of a currency into an account.
pub const MINT_CASH: &str = "mint-cash";
/// Move units or money from an account, free of payment.
pub const TRANSFER: &str = "transfer";
/// Record one side of a trade between two firms.
pub const RECORD_TRADE: &str = "record-trade";
/// Confirm the other side of a trade, which settles both at once.
pub const CONFIRM_TRADE: &str = "confirm-trade";
/// Pay cash to the holders of record.
pub const DIVIDEND: &str = "dividend";
/// Multiply every holding by a ratio.
pub const SPLIT: &str = "split";
/// Read an issue's holders: names and numbers, no accounts, no firms.
pub const READ_SHAREHOLDERS: &str = "read-shareholders";
/// Read an issue's holders with their accounts and firms.
pub const READ_REGISTRY: &str = "read-registry";
/// Read accounts with what they hold.
pub const READ_HOLDINGS: &str = "read-holdings";
/// Read trades with their parties, quantities and amounts.
pub const READ_TRADES: &str = "read-trades";
/// Read the totals of every issue and currency.
pub const READ_AUDIT: &str = "read-audit";
/// Read who read what of one's own.
pub const READ_ACCESS_LOG: &str = "read-access-log";
/// Be told what happens to what is one's own.
pub const READ_EVENTS: &str = "read-events";
/// Have owners told later of a reading of theirs.
pub const DELAY_DISCLOSURE: &str = "delay-disclosure";
/// Let a venue submit locked-in trades on one's accounts.
pub const GRANT_MANDATE: &str = "grant-mandate";
/// Take that back.
pub const REVOKE_MANDATE: &str = "revoke-mandate";
/// Submit a trade that binds both firms, which settles it at once.
pub const LOCKED_IN_TRADE: &str = "locked-in-trade";

/// All of them.
pub const ALL: [&str; 25] = [
    ADMIT_MEMBER,
    RENEW_CERTIFICATE,
    REVOKE_CERTIFICATE,
    OPEN_DAY,
    REGISTER_ISSUE,
    ISSUE_UNITS,
    OPEN_ACCOUNT,
    ALLOCATE,
    MINT_CASH,
    TRANSFER,
    RECORD_TRADE,
    CONFIRM_TRADE,
    DIVIDEND,
    SPLIT,
    READ_SHAREHOLDERS,
    READ_REGISTRY,
    READ_HOLDINGS,
    READ_TRADES,
    READ_AUDIT,
    READ_ACCESS_LOG,
    READ_EVENTS,
    DELAY_DISCLOSURE,
    GRANT_MANDATE,
    REVOKE_MANDATE,
    LOCKED_IN_TRADE,
];
