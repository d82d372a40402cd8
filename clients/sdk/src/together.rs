//! Several envelopes under way at once.

use std::time::Duration;

use sealbook_protocol::client::{RequestBody, ResponseBody, Stage};
use sealbook_protocol::payload::Reply;

use crate::ClientError;
use crate::attempts::Tried;
use crate::client::{AWAIT_MS, Client, Sealed, Submitted, open};
use crate::order::Prepared;
use crate::receipts::open_notice;

/// Envelopes that are handed over together: half of what a node works on for one connection.
const AT_ONCE: usize = 128;

impl Client {
    /// Submits several envelopes at once, each sealed and signed by itself, and waits until all have come to `stage`:
    /// what a member does that has many instructions under way. Which of them is ordered first is not said.
    ///
    /// # Errors
    /// As [`Client::submit`], for the first one that fails. What came of the others can be asked for.
    pub fn submit_all(
        &mut self,
        envelopes: &[Vec<Prepared>],
        stage: Stage,
    ) -> Result<Vec<Submitted>, ClientError> {
        self.learn_opening();
        self.tend_session();
        let mut all = Vec::with_capacity(envelopes.len());
        for some in envelopes.chunks(AT_ONCE) {
            let sealed: Vec<Sealed> = some
                .iter()
                .map(|orders| self.seal_next(orders))
                .collect::<Result<_, _>>()?;
            let mut taken = vec![false; sealed.len()];
            let done = self.try_together(&sealed, stage, &mut taken);
            let mut done = done.unwrap_or_default().into_iter();
            for ((one, orders), taken) in sealed.into_iter().zip(some).zip(taken) {
                // Whatever went wrong with one of them, it goes the way of a single one, which tries other nodes.
                all.push(match done.next().flatten() {
                    Some(reply) => {
                        if one.in_session {
                            self.note_session(reply.time_ms);
                        }
                        self.submitted(one.id, &reply, stage)?
                    }
                    None => self.submit_again(one, orders, stage, taken)?,
                });
            }
        }
        Ok(all)
    }

    /// Hands envelopes to one node, and waits for all replies; nothing stands for one that did not come about. Notes
    /// which of them the node has taken, or may have.
    pub(crate) fn try_together(
        &mut self,
        sealed: &[Sealed],
        stage: Stage,
        taken: &mut [bool],
    ) -> Tried<Vec<Option<Reply>>> {
        let submit = |one: &Sealed| RequestBody::Submit {
            transaction: one.transaction.clone(),
            attachments: one.attachments.clone(),
        };
        // Those that it does not take are asked for too, which costs a wait: they are rare.
        let answers = self.try_ask_all(sealed.iter().map(submit).collect(), Duration::ZERO);
        let answers = answers.inspect_err(|problem| taken.fill(problem.may_have_taken()))?;
        for (taken, answer) in taken.iter_mut().zip(&answers) {
            *taken = matches!(answer, ResponseBody::Accepted | ResponseBody::Known);
        }
        let mut replies: Vec<Option<Reply>> = Vec::with_capacity(sealed.len());
        for (one, answer) in sealed
            .iter()
            .zip(self.try_await_all(sealed, Stage::Outcome)?)
        {
            let reply = answer.map(|sealed| open(&one.reply_key, b"outcome", one.id, &sealed));
            replies.push(reply.transpose().unwrap_or_default());
        }
        if stage == Stage::Final {
            let notices = self.try_await_all(sealed, Stage::Final)?;
            for ((one, reply), notice) in sealed.iter().zip(&mut replies).zip(notices) {
                let is_final = match (&reply, notice) {
                    (Some(reply), Some(notice)) => open_notice(one, reply, &notice).is_ok(),
                    _ => false,
                };
                if !is_final {
                    *reply = None;
                }
            }
        }
        Ok(replies)
    }

    fn try_await_all(&mut self, sealed: &[Sealed], stage: Stage) -> Tried<Vec<Option<Vec<u8>>>> {
        let wait = |one: &Sealed| RequestBody::Await {
            transaction: one.id,
            stage,
            timeout_ms: AWAIT_MS,
        };
        let limit = Duration::from_millis(u64::from(AWAIT_MS));
        let answers = self.try_ask_all(sealed.iter().map(wait).collect(), limit)?;
        let answers = answers.into_iter().map(|answer| match answer {
            ResponseBody::Reply(sealed) => Some(sealed),
            _ => None,
        });
        Ok(answers.collect())
    }
}
