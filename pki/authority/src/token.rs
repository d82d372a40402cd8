//! Tokens: whoever has one gets one certificate without anybody looking at the request, for the name, role and
//! organisation that the token says and no other.
//!
//! ```text
//! Authority::make_token --file, handed over in confidence--> holder
//! holder: Token::request (sealed under the token) --> Authority::redeem --> answer (sealed) --> Token::answered: chain
//! ```
//!
//! In the authority's directory, for each token:
//!
//! ```text
//! tokens/<id>.key     its secret, as a private key is kept
//! tokens/<id>.token   what it is for
//! tokens/<id>.used    the digest of the one request that it was used for, before that is certified
//! tokens/<id>.pem     what came of it
//! ```
//!
//! INVARIANT: one request is certified for a token and no other. The same request gets the same answer again, for
//! whoever lost it on the way; after a crash between `used` and `pem` it is certified once more, for the same key.
//!
//! INVARIANT: nothing that a stranger sends is parsed beyond its length: what does not open under a token's key is
//! answered by silence, which is also all that is said about a token that there is not.

use std::{
    fmt::Write as _,
    fs::{DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::PathBuf,
};

use sealbook_identity::{
    CertificateDer, CertificateRequest, Lei, Role, Usage, check_organisation, check_short_name,
    files::{self, FileError},
    fingerprint, pem, verify_chain,
};
use sealbook_primitives::{
    aead,
    hash::{Digest, hash},
    random,
    secret::{Secret32, SecretBytes, derive},
};
use zeroize::Zeroizing;

use crate::{Authority, AuthorityError, authority::check_validity};

/// The most bytes of a sealed request or answer.
pub const MESSAGE_BYTES_MAX: usize = 48 * 1024;
/// The most bytes of a token's text.
pub const TOKEN_BYTES_MAX: usize = 4 * 1024;

const HEADER: &str = "sealbook-token 1";
const FOLDER: &str = "tokens";
const VERSION: u8 = 1;
const ID_LENGTH: usize = 16;
const HEAD_LENGTH: usize = 1 + ID_LENGTH;
const SEALED_LENGTH_MIN: usize = HEAD_LENGTH + aead::NONCE_LENGTH + aead::TAG_LENGTH;
const REQUEST_KEY: &str = "sealbook 2026 token request";
const ANSWER_KEY: &str = "sealbook 2026 token answer";
const REQUEST_DOMAIN: &str = "sealbook 2026 token request";
/// How far certificates are dated back, so that clocks that are slow trust them at once.
const BACKDATED_MS: u64 = 3_600_000;
/// What an answer begins with.
const CERTIFIED: u8 = 0;
const REFUSED: u8 = 1;

/// Why a token was of no use.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The request is too long.
    #[error("the request is too long")]
    TooLong,
    /// The text is no token.
    #[error("this is no token of version 1")]
    Malformed,
    /// No answer that this token opens.
    #[error("the answer is none to this request under this token")]
    DoesNotOpen,
    /// The authority refused.
    #[error("the CA refused: {0}")]
    Refused(String),
    /// The certificate is not that of the authority that the token names, or not for this request.
    #[error("what the CA returned is not what the token promises: {0}")]
    WrongCertificate(String),
    /// Something about files.
    #[error(transparent)]
    File(#[from] FileError),
    /// Something about the request or the authority.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

impl TokenError {
    /// What can be done about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::TooLong => "make a request with shorter names",
            Self::Malformed => "use the file that `sealbook ca token` wrote, unchanged",
            Self::DoesNotOpen | Self::WrongCertificate(_) => {
                "make sure that this is the address of the CA that made the token"
            }
            Self::Refused(_) => "ask the CA for another token",
            Self::File(error) => error.hint(),
            Self::Authority(error) => error.hint(),
        }
    }
}

/// Who may be certified by a token, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promised {
    /// The network's short name.
    pub network: String,
    /// The holder's short name.
    pub name: String,
    /// The holder's role.
    pub role: Role,
    /// The holder's organisation.
    pub organisation: String,
    /// The holder's legal entity identifier.
    pub lei: Option<Lei>,
    /// Until when the token can be used, milliseconds since 1970 (UTC).
    pub until_ms: u64,
    /// For how many days what it gives is valid.
    pub days: u32,
    /// Fingerprint of the authority's root.
    pub root: Digest,
}

/// A token. It has no `Debug`: it holds a secret.
pub struct Token {
    /// What it is for.
    pub promised: Promised,
    id: [u8; ID_LENGTH],
    secret: Secret32,
}

/// A request that was answered.
pub struct Redeemed {
    /// The sealed answer.
    pub answer: Vec<u8>,
    /// What the token was for.
    pub promised: Promised,
    /// Why it was refused, if it was.
    pub refused: Option<String>,
    /// Whether the answer is what was given for this request before.
    pub again: bool,
    /// What failed here, if something did.
    pub failed: Option<AuthorityError>,
}

impl Promised {
    fn to_lines(&self) -> String {
        let lei = self
            .lei
            .map_or_else(|| "-".to_owned(), |lei| lei.to_string());
        format!(
            "{HEADER}\nnetwork {}\nname {}\nrole {}\norganisation {}\nlei {lei}\nuntil {}\ndays {}\nroot {}\n",
            self.network,
            self.name,
            self.role,
            self.organisation,
            self.until_ms,
            self.days,
            self.root
        )
    }

    /// Reads what [`Promised::to_lines`] wrote, and nothing else.
    fn read<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let [network, name, role, organisation, lei, until, days, root] = [
            value("network")?,
            value("name")?,
            value("role")?,
            value("organisation")?,
            value("lei")?,
            value("until")?,
            value("days")?,
            value("root")?,
        ];
        check_short_name(network).ok()?;
        check_short_name(name).ok()?;
        check_organisation(organisation).ok()?;
        Some(Self {
            network: network.to_owned(),
            name: name.to_owned(),
            role: role.parse().ok()?,
            organisation: organisation.to_owned(),
            lei: match lei {
                "-" => None,
                lei => Some(lei.parse().ok()?),
            },
            until_ms: until.parse().ok()?,
            days: days.parse().ok()?,
            root: Digest::from_hex(root).ok()?,
        })
    }

    /// Why a request is not the one that the token is for, if it is not.
    fn differs(&self, request: &CertificateRequest) -> Option<&'static str> {
        if request.network != self.network {
            Some("the request is for another network")
        } else if request.name != self.name {
            Some("the request has another name")
        } else if request.role != self.role {
            Some("the request has another role")
        } else if request.organisation != self.organisation || request.lei != self.lei {
            Some("the request has another organisation")
        } else {
            None
        }
    }
}

impl Token {
    /// Its number, as text.
    pub fn id(&self) -> String {
        hex::encode(self.id)
    }

    /// Whether it is for this request.
    pub fn is_for(&self, request: &CertificateRequest) -> bool {
        self.promised.differs(request).is_none()
    }

    /// The text that its holder is given, in confidence.
    pub fn to_text(&self) -> SecretBytes {
        let lines = self.promised.to_lines();
        let mut text = String::with_capacity(lines.len().saturating_add(256));
        text.push_str(&lines);
        let _ = writeln!(text, "id {}", hex::encode(self.id));
        let digits = Zeroizing::new(hex::encode(self.secret.expose()));
        let _ = writeln!(text, "secret {}", *digits);
        SecretBytes::new(text.into_bytes())
    }

    /// Reads that text.
    ///
    /// # Errors
    /// [`TokenError::Malformed`].
    pub fn read(text: &SecretBytes) -> Result<Self, TokenError> {
        let read = || {
            let text = std::str::from_utf8(text.expose()).ok()?;
            let mut lines = text.split('\n');
            (lines.next()? == HEADER).then_some(())?;
            let promised = Promised::read(&mut lines)?;
            let id = bytes(lines.next()?.strip_prefix("id ")?)?;
            let secret = Secret32::new(bytes(lines.next()?.strip_prefix("secret ")?)?);
            let token = Self {
                promised,
                id,
                secret,
            };
            (token.to_text().expose() == text.as_bytes()).then_some(token)
        };
        read().ok_or(TokenError::Malformed)
    }

    /// Seals a request (PEM) for the authority.
    ///
    /// # Errors
    /// It is too long.
    pub fn request(&self, request_pem: &str) -> Result<Vec<u8>, TokenError> {
        let mut message = vec![VERSION];
        message.extend_from_slice(&self.id);
        let nonce: [u8; aead::NONCE_LENGTH] = random::bytes();
        let key = derive(&self.secret, REQUEST_KEY, &self.id);
        let sealed = aead::seal(key.expose(), &nonce, &message, request_pem.as_bytes())
            .map_err(|_| TokenError::TooLong)?;
        message.extend_from_slice(&nonce);
        message.extend_from_slice(&sealed);
        (message.len() <= MESSAGE_BYTES_MAX)
            .then_some(message)
            .ok_or(TokenError::TooLong)
    }

    /// Opens the answer to the sealed `request` that was made of `request_pem`: the holder's chain, which is checked
    /// against the root that the token names, as of `now_ms`.
    ///
    /// # Errors
    /// Why it is no chain for this request.
    pub fn answered(
        &self,
        request: &[u8],
        request_pem: &str,
        answer: &[u8],
        now_ms: u64,
    ) -> Result<Vec<CertificateDer<'static>>, TokenError> {
        let text = self.open_answer(request, answer)?;
        let (kind, text) = text.expose().split_first().ok_or(TokenError::DoesNotOpen)?;
        let text = String::from_utf8(text.to_vec()).map_err(|_| TokenError::DoesNotOpen)?;
        match *kind {
            REFUSED => return Err(TokenError::Refused(text)),
            CERTIFIED => {}
            _ => return Err(TokenError::DoesNotOpen),
        }
        let wrong = |why: &dyn std::fmt::Display| TokenError::WrongCertificate(why.to_string());
        let mut chain = pem::chain_from_pem(&text).map_err(|error| wrong(&error))?;
        let root = chain.pop().ok_or_else(|| wrong(&"nothing"))?;
        if fingerprint(&root) != self.promised.root {
            return Err(wrong(&"another root"));
        }
        let roots = [root];
        let promised = &self.promised;
        let holder = verify_chain(&roots, &chain, &promised.network, now_ms, Usage::Any)
            .map_err(|error| wrong(&error))?;
        let asked = CertificateRequest::from_pem(request_pem).map_err(AuthorityError::from)?;
        if holder.name != promised.name || holder.role != promised.role || holder.key != asked.key {
            return Err(wrong(&"somebody else's certificate"));
        }
        Ok(chain)
    }

    fn seal_answer(&self, request: &[u8], kind: u8, text: &str) -> Option<Vec<u8>> {
        let nonce: [u8; aead::NONCE_LENGTH] = random::bytes();
        let key = derive(&self.secret, ANSWER_KEY, &self.id);
        let mut plain = vec![kind];
        plain.extend_from_slice(text.as_bytes());
        let digest = hash(REQUEST_DOMAIN, &[request]);
        let sealed = aead::seal(key.expose(), &nonce, digest.as_bytes(), &plain).ok()?;
        Some([&[VERSION], nonce.as_slice(), &sealed].concat())
    }

    fn open_answer(&self, request: &[u8], answer: &[u8]) -> Result<SecretBytes, TokenError> {
        let key = derive(&self.secret, ANSWER_KEY, &self.id);
        let digest = hash(REQUEST_DOMAIN, &[request]);
        let open = || {
            let (version, rest) = answer.split_first()?;
            (*version == VERSION).then_some(())?;
            let (nonce, sealed) = rest.split_first_chunk()?;
            aead::open(key.expose(), nonce, digest.as_bytes(), sealed).ok()
        };
        open().ok_or(TokenError::DoesNotOpen)
    }

    fn open_request(&self, message: &[u8]) -> Option<String> {
        let (head, rest) = message.split_at_checked(HEAD_LENGTH)?;
        let (nonce, sealed) = rest.split_first_chunk()?;
        let key = derive(&self.secret, REQUEST_KEY, &self.id);
        let text = aead::open(key.expose(), nonce, head, sealed).ok()?;
        String::from_utf8(text.expose().to_vec()).ok()
    }
}

/// Where the parts of a token lie.
struct Place(PathBuf);

impl Place {
    fn of(authority: &Authority, id: &[u8; ID_LENGTH]) -> Self {
        Self(authority.directory().join(FOLDER).join(hex::encode(id)))
    }

    fn part(&self, extension: &str) -> PathBuf {
        self.0.with_extension(extension)
    }
}

impl Authority {
    /// Makes a token for one certificate. What is promised is completed with this authority's network and root.
    ///
    /// # Errors
    /// A name is not lawful, the key of the role's issuing authority is not here, or a file cannot be written.
    pub fn make_token(&self, promised: Promised) -> Result<Token, AuthorityError> {
        check_short_name(&promised.name)?;
        check_organisation(&promised.organisation)?;
        let role = promised.role;
        let issuing = self.issuing.get(&role).filter(|one| one.key.is_some());
        let issuing = issuing.ok_or(AuthorityError::KeyAbsent { role })?;
        // Whenever it is used, what it gives ends before its authority.
        let last_ms = promised.until_ms.saturating_add(days_ms(promised.days));
        check_validity((promised.until_ms, last_ms), &issuing.certificate)?;
        let token = Token {
            promised: Promised {
                network: self.network().to_owned(),
                root: fingerprint(self.root()),
                ..promised
            },
            id: random::bytes(),
            secret: Secret32::random(),
        };
        let place = Place::of(self, &token.id);
        let folder = self.directory().join(FOLDER);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                return Err(AuthorityError::at(&folder, source));
            }
            _ => {}
        }
        files::write_private_key(&place.part("key"), &token.secret)?;
        files::write_text(&place.part("token"), &token.promised.to_lines())?;
        Ok(token)
    }

    /// Answers a sealed request. `None` is silence: it was sealed under no token of this authority.
    ///
    /// # Errors
    /// The token cannot be read. Nothing is to be answered then.
    pub fn redeem(&self, message: &[u8], now_ms: u64) -> Result<Option<Redeemed>, AuthorityError> {
        let Some((token, request)) = self.opened(message)? else {
            return Ok(None);
        };
        let (text, again, refused, failed) = match self.certify(&token, &request, now_ms) {
            Ok((chain, again)) => (chain, again, None, None),
            Err(Refusal::Said(why)) => (why.clone(), false, Some(why), None),
            Err(Refusal::Failed(error)) => {
                let why = "something failed there; try again, with the same folder";
                (why.to_owned(), false, Some(why.to_owned()), Some(error))
            }
        };
        let kind = if refused.is_none() {
            CERTIFIED
        } else {
            REFUSED
        };
        let answer = token.seal_answer(message, kind, &text);
        Ok(answer.map(|answer| Redeemed {
            answer,
            promised: token.promised,
            refused,
            again,
            failed,
        }))
    }

    /// The token that a message was sealed under, and the request in it.
    fn opened(&self, message: &[u8]) -> Result<Option<(Token, String)>, AuthorityError> {
        let id = |message: &[u8]| {
            let (version, rest) = message.split_first()?;
            let lengths = SEALED_LENGTH_MIN..=MESSAGE_BYTES_MAX;
            (*version == VERSION && lengths.contains(&message.len())).then_some(())?;
            rest.first_chunk::<ID_LENGTH>().copied()
        };
        let Some(id) = id(message) else {
            return Ok(None);
        };
        let place = Place::of(self, &id);
        if !place.part("token").is_file() {
            return Ok(None);
        }
        let text = files::read_text(&place.part("token"), TOKEN_BYTES_MAX)?;
        let mut lines = text.split('\n').skip(1);
        let promised = Promised::read(&mut lines).filter(|one| one.to_lines() == text);
        let promised = promised.ok_or_else(|| {
            let source = io::Error::new(io::ErrorKind::InvalidData, "no token");
            AuthorityError::at(&place.part("token"), source)
        })?;
        let token = Token {
            promised,
            id,
            secret: files::read_private_key(&place.part("key"))?,
        };
        let request = token.open_request(message);
        Ok(request.map(|request| (token, request)))
    }

    /// The chain with its root, and whether it was there already.
    fn certify(
        &self,
        token: &Token,
        request: &str,
        now_ms: u64,
    ) -> Result<(String, bool), Refusal> {
        let refused = |why: &str| Err(Refusal::Said(why.to_owned()));
        let promised = &token.promised;
        let examined = self
            .examine(request)
            .map_err(|error| Refusal::Said(error.to_string()))?;
        if let Some(why) = promised.differs(&examined) {
            return refused(why);
        }
        let place = Place::of(self, &token.id);
        let digest = hash(REQUEST_DOMAIN, &[request.as_bytes()]).to_string();
        // Two processes take turns; the lock goes with the file.
        let token_path = place.part("token");
        let turn =
            File::open(&token_path).map_err(|source| AuthorityError::at(&token_path, source))?;
        turn.lock()
            .map_err(|source| AuthorityError::at(&token_path, source))?;
        match files::read_text(&place.part("used"), TOKEN_BYTES_MAX) {
            Ok(used) if used == digest => {}
            Ok(_) => return refused("the token was used for another request"),
            Err(FileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                if now_ms > promised.until_ms {
                    return refused("the token has ended");
                }
                files::write_text(&place.part("used"), &digest).map_err(AuthorityError::from)?;
            }
            Err(error) => return Err(AuthorityError::from(error).into()),
        }
        let path = place.part("pem");
        // What it gave, it gives again, also when it has ended meanwhile.
        let again = path.is_file();
        if !again {
            let validity = (
                now_ms.saturating_sub(BACKDATED_MS),
                now_ms.saturating_add(days_ms(promised.days)),
            );
            let chain = match self.approve(request, validity) {
                Err(error @ AuthorityError::Validity { .. }) => {
                    return refused(&error.to_string());
                }
                other => other?,
            };
            files::write_text(&path, &chain).map_err(AuthorityError::from)?;
        }
        let mut chain = files::read_chain(&path).map_err(AuthorityError::from)?;
        chain.push(self.root().clone());
        let chain = pem::chain_to_pem(&chain).map_err(AuthorityError::from)?;
        Ok((chain, again))
    }
}

fn days_ms(days: u32) -> u64 {
    u64::from(days).saturating_mul(86_400_000)
}

/// Why nothing was certified.
enum Refusal {
    /// For a reason that the holder is told.
    Said(String),
    /// Something failed here.
    Failed(AuthorityError),
}

impl From<AuthorityError> for Refusal {
    fn from(error: AuthorityError) -> Self {
        Self::Failed(error)
    }
}

/// Bytes from their hexadecimal digits, in small letters.
fn bytes<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let mut found = [0; N];
    hex::decode_to_slice(digits, &mut found).ok()?;
    (hex::encode(found) == digits).then_some(found)
}
