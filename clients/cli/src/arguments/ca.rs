//! What `sealbook ca` is told.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Who is to be certified.
#[derive(Debug, Args)]
pub struct HolderArguments {
    /// Short name.
    pub name: String,
    /// Role: firm, issuer, admin, regulator, cash-agent, oracle or node.
    #[arg(long)]
    pub role: String,
    /// Organisation.
    #[arg(long)]
    pub organisation: String,
    /// Legal entity identifier.
    #[arg(long)]
    pub lei: Option<String>,
}

/// The CA.
#[derive(Debug, Subcommand)]
pub enum CaCommand {
    /// Make a key here and a signing request for it; the key never leaves this machine.
    Request {
        #[command(flatten)]
        holder: HolderArguments,
        /// The network's name.
        #[arg(long)]
        network_name: String,
        /// Folder for key.pem and request.pem.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Certify a signing request with the issuing CA of its role.
    Approve {
        /// The request.
        request: PathBuf,
        /// Where to write the chain.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Days of validity.
        #[arg(long, default_value_t = 365)]
        days: u32,
    },
    /// Make a token: whoever has it gets one certificate, for this name, role and organisation, from `ca serve`, without
    /// anybody looking at the request.
    Token {
        #[command(flatten)]
        holder: HolderArguments,
        /// For how many hours the token can be used.
        #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8_784))]
        hours: u32,
        /// Days of validity of the certificate.
        #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3_650))]
        days: u32,
        /// Where to write it, for its owner alone to read. To be handed to the holder in confidence.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Certify, until ended, whoever comes with a token (`ca enrol`).
    Serve {
        /// Address to listen at.
        #[arg(long, value_name = "IP:PORT")]
        listen: SocketAddr,
    },
    /// Make a key here, and have the CA that serves at an address certify it for a token.
    Enrol {
        /// The token.
        #[arg(long, value_name = "FILE")]
        token: PathBuf,
        /// Where the CA serves.
        #[arg(long, value_name = "IP:PORT")]
        at: SocketAddr,
        /// Folder for key.pem and chain.pem. A key that is there already is used, so that it can be tried again.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Make another issuing CA for a role: because its key is lost or may be stolen, or its certificate ends. The one before
    /// stays beside it until its holders are certified anew. Needs the root's key, for this alone.
    Rotate {
        /// The role.
        role: String,
    },
    /// What has been certified, what of it is revoked, and what ends soon.
    Inventory {
        /// What soon is: within so many days.
        #[arg(long, value_name = "N", default_value_t = 30)]
        within: u32,
        /// Only what ends within that time or has ended, and was not renewed.
        #[arg(long)]
        due: bool,
        /// Write counts and ends, without any name, for Prometheus (its text format, as its node exporter reads from files).
        #[arg(long, value_name = "FILE")]
        metrics: Option<PathBuf>,
    },
    /// Revoke a certificate, for good, by the CA's word alone. Nodes hear of it by the next revocation list (`ca crl`);
    /// `member revoke` makes the whole ledger refuse it at once.
    Revoke {
        /// The holder's short name, or the certificate's serial number.
        #[arg(value_name = "NAME|SERIAL")]
        who: String,
        /// Why: unspecified, key-compromise, affiliation-changed, superseded, cessation-of-operation or
        /// privilege-withdrawn.
        #[arg(long)]
        reason: String,
    },
    /// Sign the revocation lists of the issuing CAs, for nodes to hold certificates against.
    Crl {
        /// Where to write them, each after the certificate of its CA; an older file is replaced.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Only the list of the issuing CA for this role; of all whose keys are here if not given.
        #[arg(long)]
        role: Option<String>,
        /// For how many days they are in force.
        #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=366))]
        days: u32,
        /// Sign only if it is time: something was revoked since, half of the time is over, or the file has not the last lists.
        #[arg(long, conflicts_with = "keep")]
        if_due: bool,
        /// Go on until ended, and sign whenever it is time.
        #[arg(long)]
        keep: bool,
        /// How often to look whether it is time, in seconds.
        #[arg(long, value_name = "N", default_value_t = 60, requires = "keep", value_parser = clap::value_parser!(u64).range(1..=86_400))]
        every: u64,
    },
}
