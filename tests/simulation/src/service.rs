//! What nodes do for clients: the service of a host, over connections that take time and break.

use std::sync::Arc;
use std::time::Duration;

use commonware_runtime::Clock as _;
use commonware_runtime::deterministic::Context;
use sealbook_host::shared::Shared;
use sealbook_host::waiting::Refusal;
use sealbook_primitives::signature::VerifyingKey;
use sealbook_protocol::client::{RequestBody, ResponseBody};

use crate::cluster::{Cluster, ModuleSlot, lock};
use crate::random::Random;
use crate::schedule::Lie;

/// What a node cannot answer, because it is not there.
#[derive(Debug, Clone, Copy)]
pub struct Lost {
    /// Whether there was no connection in the first place.
    pub unreachable: bool,
}

impl Cluster {
    /// A client asks a node, over a connection that takes time and may break.
    ///
    /// # Errors
    /// The node is not there, or went away meanwhile.
    pub async fn ask(
        &self,
        context: &Context,
        random: &mut Random,
        node: usize,
        (member, body): (VerifyingKey, RequestBody),
    ) -> Result<ResponseBody, Lost> {
        let travel = |random: &mut Random| Duration::from_millis(random.between(2, 25));
        context.sleep(travel(random)).await;
        let unreachable = Lost { unreachable: true };
        if lock(&self.unreachable).contains_key(&node) {
            context.sleep(Duration::from_millis(200)).await;
            return Err(unreachable);
        }
        let draw = random.next();
        let life = self.with(node, |node| {
            let count = node.lives.len() as u64;
            let place = usize::try_from(draw.checked_rem(count)?).ok()?;
            let life = node.lives.get(place)?;
            Some((life.number, Arc::clone(&life.shared), life.module.clone()))
        });
        let (number, shared, module) = life.flatten().ok_or(unreachable)?;
        let body = self
            .answer(context, node, (&shared, module.as_ref()), (member, body))
            .await;
        context.sleep(travel(random)).await;
        // An answer of a process that is gone by now may have been sent or not; here it was not.
        let lives = self.with(node, |node| {
            node.lives.iter().any(|life| life.number == number)
        });
        if lives == Some(true) {
            Ok(body)
        } else {
            Err(Lost { unreachable: false })
        }
    }

    /// What the host's service to clients does with a request.
    async fn answer(
        &self,
        context: &Context,
        node: usize,
        (shared, module): (&Arc<Shared>, Option<&ModuleSlot>),
        (member, body): (VerifyingKey, RequestBody),
    ) -> ResponseBody {
        match body {
            RequestBody::Submit {
                transaction,
                attachments,
            } => {
                if self.plan.lie(node) == Some(Lie::Greed) {
                    return ResponseBody::Accepted;
                }
                match shared.submit(member, transaction, attachments) {
                    Ok(_) => ResponseBody::Accepted,
                    Err(Refusal::Known) => ResponseBody::Known,
                    Err(refusal @ (Refusal::Full | Refusal::NoSeat | Refusal::Share { .. })) => {
                        ResponseBody::Busy(refusal.to_string())
                    }
                    Err(refusal) => ResponseBody::Refused(refusal.to_string()),
                }
            }
            RequestBody::Await {
                transaction,
                stage,
                timeout_ms,
            } => {
                let until = self.time.now_ms() + u64::from(timeout_ms);
                loop {
                    if let Some(sealed) = shared.outbox().take(&transaction, stage) {
                        return ResponseBody::Reply(sealed);
                    }
                    if self.time.now_ms() >= until {
                        return ResponseBody::NotYet;
                    }
                    context.sleep(Duration::from_millis(25)).await;
                }
            }
            RequestBody::Query { envelope } => {
                let Some(slot) = module else {
                    return ResponseBody::Busy("this node only observes".to_owned());
                };
                match lock(slot).as_mut() {
                    None => ResponseBody::Busy("the execution module is starting".to_owned()),
                    Some(module) if !module.engine().is_awake() && !self.drowsy => {
                        ResponseBody::Busy("the execution module is not awake yet".to_owned())
                    }
                    Some(module) => match module.answer(&envelope) {
                        Some(sealed) => ResponseBody::Answer(sealed),
                        None => ResponseBody::Refused("the query is refused".to_owned()),
                    },
                }
            }
            RequestBody::Epoch => match shared.present() {
                Some(definition) => ResponseBody::Epoch((*definition).clone()),
                None => ResponseBody::Absent,
            },
            _ => ResponseBody::Refused("not simulated".to_owned()),
        }
    }
}
