//! The policy about kinds of evidence, and the verifier that obeys it.

use std::collections::BTreeMap;

use crate::{Claims, Evidence, Expected, Kind, Verifier, VerifyError};

/// Which kinds of evidence are accepted at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Accept evidence that proves nothing. For development on ordinary machines only; the default is no.
    pub accept_process: bool,
    /// Accept VMs under AMD SEV-SNP. The default is yes.
    pub accept_sev_snp: bool,
    /// Accept VMs under Intel TDX. The default is yes.
    pub accept_tdx: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            accept_process: false,
            accept_sev_snp: true,
            accept_tdx: true,
        }
    }
}

impl Policy {
    /// Passes when evidence of this kind may be looked at.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Refused`] when the policy does not accept the kind.
    pub fn admit(&self, kind: Kind) -> Result<(), VerifyError> {
        let accepted = match kind {
            Kind::Process => self.accept_process,
            Kind::SevSnp => self.accept_sev_snp,
            Kind::Tdx => self.accept_tdx,
        };
        if accepted {
            Ok(())
        } else {
            Err(VerifyError::Refused(kind))
        }
    }
}

/// Verifies evidence of any kind that the policy accepts and for which there is a verifier.
#[derive(Default)]
pub struct Gate {
    policy: Policy,
    verifiers: BTreeMap<Kind, Box<dyn Verifier + Send + Sync>>,
}

impl Gate {
    /// A gate under `policy` that has no verifier yet.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Gate {
            policy,
            verifiers: BTreeMap::new(),
        }
    }

    /// The same gate with `verifier` for evidence of `kind`.
    #[must_use]
    pub fn with(mut self, kind: Kind, verifier: impl Verifier + Send + Sync + 'static) -> Self {
        self.verifiers.insert(kind, Box::new(verifier));
        self
    }
}

impl Verifier for Gate {
    fn verify(
        &self,
        evidence: &Evidence,
        expected: &Expected,
        now_ms: u64,
    ) -> Result<Claims, VerifyError> {
        let kind = evidence.kind();
        // The policy comes first: evidence that it refuses is not even parsed.
        self.policy.admit(kind)?;
        let verifier = self
            .verifiers
            .get(&kind)
            .ok_or(VerifyError::NoVerifier(kind))?;
        verifier.verify(evidence, expected, now_ms)
    }
}

/// Passes when the evidence is of the kind that a verifier is for.
pub(crate) fn of_kind(evidence: &Evidence, expected: Kind) -> Result<(), VerifyError> {
    let found = evidence.kind();
    if found == expected {
        Ok(())
    } else {
        Err(VerifyError::OtherKind { found, expected })
    }
}
