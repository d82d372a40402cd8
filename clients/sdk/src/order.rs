//! Orders made ready to be sealed: encoded, with a reference that makes a retry harmless, and sealed attachments.

use sealbook_governance::{Action, GovernanceOrder};
use sealbook_primitives::hash::Digest;
use sealbook_primitives::random;
use sealbook_primitives::secret::Secret32;
use sealbook_protocol::payload::{
    AsOf, Attachment as HolderAttachment, OrderBytes, PAYLOAD_VERSION, Question, RevocationTarget,
};
use sealbook_sealing::{Envelope, EnvelopeHeader, OpeningPublicKey, Purpose};
use sealbook_securities::{
    AccountId, ClientReference, HolderReference, Instruction, LongName, Order,
};

use crate::ClientError;

/// An order with what travels beside it.
pub struct Prepared {
    reference: String,
    pub(crate) order: OrderBytes,
    pub(crate) attachments: Vec<Vec<u8>>,
}

/// A reference for an order that has none of the user's: `~` and 30 random hex digits.
#[must_use]
pub fn generated_reference() -> String {
    let mut bytes = [0; 15];
    random::fill(&mut bytes);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("~{hex}")
}

impl Prepared {
    /// An instruction under the user's reference, or under a generated one.
    ///
    /// # Errors
    /// The reference is not one.
    pub fn instruction(
        reference: Option<ClientReference>,
        instruction: Instruction,
    ) -> Result<Self, ClientError> {
        let reference = match reference {
            Some(reference) => reference,
            None => own_reference()?,
        };
        let order = Order {
            reference,
            instruction,
        };
        Ok(Self {
            reference: order.reference.as_str().to_owned(),
            order: encoded(&order),
            attachments: Vec::new(),
        })
    }

    /// A voice about the network itself, under a generated reference.
    ///
    /// # Errors
    /// None that a user can cause.
    pub fn governance(action: Action) -> Result<Self, ClientError> {
        let reference = own_reference()?;
        let order = GovernanceOrder { reference, action };
        Ok(Self {
            reference: order.reference.as_str().to_owned(),
            order: OrderBytes::Governance(borsh::to_vec(&order).unwrap_or_default()),
            attachments: Vec::new(),
        })
    }

    /// The order's reference: the user's, or a generated one.
    #[must_use]
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// The opening of an account: the holder's name goes into an attachment of its own.
    ///
    /// # Errors
    /// The name cannot be sealed.
    pub fn open_account(
        network: Digest,
        (key_epoch, key): (u32, &OpeningPublicKey),
        account: AccountId,
        holder: &LongName,
    ) -> Result<Self, ClientError> {
        let mut blinding = [0; 32];
        random::fill(&mut blinding);
        let content = HolderAttachment {
            version: PAYLOAD_VERSION,
            blinding,
            holder: holder.as_str().to_owned(),
        };
        let commitment = content.commitment().0;
        let plaintext = zeroize::Zeroizing::new(borsh::to_vec(&content).unwrap_or_default());
        let header = EnvelopeHeader::new(key.suite(), network, key_epoch, 0);
        let sealed = sealbook_sealing::seal(key, header, Purpose::Attachment, &plaintext)
            .map_err(|error| ClientError::Sealing(error.to_string()))?;
        let bytes = Envelope::encode(&sealed);
        let attachment = sealbook_ledger::Attachment::digest_of(&bytes).0;
        let holder = HolderReference {
            attachment,
            commitment,
        };
        let instruction = Instruction::OpenAccount { account, holder };
        let order = Order {
            reference: own_reference()?,
            instruction,
        };
        Ok(Self {
            reference: order.reference.as_str().to_owned(),
            order: encoded(&order),
            attachments: vec![bytes],
        })
    }

    /// An order that has no reference, because doing it twice does no harm.
    pub(crate) const fn alone(order: OrderBytes) -> Self {
        Self {
            reference: String::new(),
            order,
            attachments: Vec::new(),
        }
    }

    /// Whether nothing is sealed beside it.
    #[must_use]
    pub const fn is_alone(&self) -> bool {
        self.attachments.is_empty()
    }

    /// A further certificate for a member, in its own name (chain in DER, leaf first).
    #[must_use]
    pub fn renew(chain: Vec<Vec<u8>>) -> Self {
        Self {
            reference: generated_reference(),
            order: OrderBytes::Renew { chain },
            attachments: Vec::new(),
        }
    }

    /// A reading of what is others', to be put on record; the owners are told from `disclosed_ms` on (Unix milliseconds),
    /// or at once.
    #[must_use]
    pub fn read(question: &Question, disclosed_ms: Option<u64>) -> Self {
        let question = borsh::to_vec(question).unwrap_or_default();
        Self {
            reference: generated_reference(),
            order: OrderBytes::Read {
                question,
                disclosed_ms: disclosed_ms.unwrap_or(0),
            },
            attachments: Vec::new(),
        }
    }

    /// An order that has the registry of an issue certified, and the key of the root.
    pub(crate) fn certify(isin: &str, as_of: AsOf) -> (Self, [u8; 32]) {
        let key = *Secret32::random().expose();
        let prepared = Self {
            reference: generated_reference(),
            order: OrderBytes::Certify {
                isin: isin.to_owned(),
                as_of,
                key,
            },
            attachments: Vec::new(),
        };
        (prepared, key)
    }

    /// The revocation of certificates, for good; `reason` is a reason code of RFC 5280, section 5.3.1.
    #[must_use]
    pub fn revoke(target: RevocationTarget, reason: u8) -> Self {
        Self {
            reference: generated_reference(),
            order: OrderBytes::Revoke { target, reason },
            attachments: Vec::new(),
        }
    }

    /// The admission of a member by its certificate chain (DER, leaf first).
    #[must_use]
    pub fn admit(chain: Vec<Vec<u8>>) -> Self {
        let reference = generated_reference();
        Self {
            reference: reference.clone(),
            order: OrderBytes::Admit { reference, chain },
            attachments: Vec::new(),
        }
    }
}

fn own_reference() -> Result<ClientReference, ClientError> {
    ClientReference::new(&generated_reference())
        .map_err(|error| ClientError::Sealing(error.to_string()))
}

fn encoded(order: &Order) -> OrderBytes {
    OrderBytes::Securities(borsh::to_vec(order).unwrap_or_default())
}
