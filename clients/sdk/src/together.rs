//! Several envelopes under way at once.

use std::time::Duration;

use sealbook_protocol::client::{RequestBody, ResponseBody, Stage};
use sealbook_protocol::payload::Reply;

use crate::ClientError;
use crate::attempts::Tried;
use crate::client::{AWAIT_MS, Client, Sealed, Submitted, open};
use crate::order::Prepared;
use crate::receipts::open_notice;

/// Envelopes that are handed over together: half of what a node works on for one connection, and as many as the ledger takes
/// of a session in any order.
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
            for ((one, orders), taken) in sealed.iter().zip(some).zip(taken) {
                // Whatever went wrong with one of them, it goes the way of a single one, which tries other nodes.
                all.push(match done.next().flatten() {
                    Some(reply) => {
                        let done = self.submitted(one.id, &reply, stage);
                        self.note_session(one, &done);
                        done?
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
        let answers = self.try_ask_all(sealed.iter().map(submit).collect(), Duration::ZERO);
        let answers = answers.inspect_err(|problem| taken.fill(problem.may_have_taken()))?;
        for (taken, answer) in taken.iter_mut().zip(&answers) {
            *taken = matches!(answer, ResponseBody::Accepted | ResponseBody::Known);
        }
        let mut replies: Vec<Option<Reply>> = Vec::with_capacity(sealed.len());
        for (one, answer) in sealed
            .iter()
            .zip(self.try_await_all(sealed, taken, Stage::Outcome)?)
        {
            let reply = answer.map(|sealed| open(&one.reply_key, b"outcome", one.id, &sealed));
            replies.push(reply.transpose().unwrap_or_default());
        }
        if stage == Stage::Final {
            let answered: Vec<bool> = replies.iter().map(Option::is_some).collect();
            let notices = self.try_await_all(sealed, &answered, Stage::Final)?;
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

    /// Waits for the replies to those that are wanted.
    fn try_await_all(
        &mut self,
        sealed: &[Sealed],
        wanted: &[bool],
        stage: Stage,
    ) -> Tried<Vec<Option<Vec<u8>>>> {
        let wait = |one: &Sealed| RequestBody::Await {
            transaction: one.id,
            stage,
            timeout_ms: AWAIT_MS,
        };
        let limit = Duration::from_millis(u64::from(AWAIT_MS));
        let asked = sealed.iter().zip(wanted).filter(|(_, wanted)| **wanted);
        let asked = asked.map(|(one, _)| wait(one)).collect();
        let mut answers = self.try_ask_all(asked, limit)?.into_iter();
        let mut next = || match answers.next() {
            Some(ResponseBody::Reply(sealed)) => Some(sealed),
            _ => None,
        };
        let replies = wanted.iter().map(|wanted| wanted.then(&mut next).flatten());
        Ok(replies.collect())
    }
}
