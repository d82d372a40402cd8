//! Events: what happened to what is the member's own, from a cursor on.
//!
//! Every node gives the same events for the same cursor, so that a client goes on with another one where it was. Who keeps the
//! cursor of the last answer together with what it did about the events in it misses none and does nothing twice.

use sealbook_protocol::payload::{AnswerBody, Question};
use sealbook_securities::{EventCursor, EventsView, Outcome};

use crate::ClientError;
use crate::client::Client;

/// What came of asking for events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Events {
    /// These are the next ones, or there are none yet.
    Told(EventsView),
    /// The member may not ask.
    Refused(Outcome),
}

impl Client {
    /// The member's events from a cursor on, as many as stand in one answer, of blocks whose results are final. Go on from
    /// [`EventsView::next`]: at once if there are more, else after a while.
    ///
    /// # Errors
    /// No node answered in time, or the answer is not from an execution module.
    pub fn events(&mut self, from: EventCursor) -> Result<Events, ClientError> {
        let question = Question::Events {
            height: from.height,
            place: from.place,
        };
        match self.ask(&question)?.body {
            AnswerBody::View(bytes) => {
                let view: EventsView =
                    borsh::from_slice(&bytes).map_err(|_| ClientError::FalseAnswer)?;
                // A module never goes back, and tells each event once.
                let places: Vec<_> = view.rows.iter().map(|row| row.at).collect();
                let in_order = places.is_sorted_by(|one, next| one < next);
                let first = places.first().is_none_or(|first| *first >= from);
                let last = places.last().is_none_or(|last| *last < view.next);
                let goes_on = view.next >= from && (!view.more || view.next > from);
                if in_order && first && last && goes_on {
                    Ok(Events::Told(view))
                } else {
                    Err(ClientError::FalseAnswer)
                }
            }
            AnswerBody::Refused(bytes) => {
                let outcome = borsh::from_slice(&bytes).map_err(|_| ClientError::FalseAnswer)?;
                Ok(Events::Refused(outcome))
            }
            AnswerBody::Behind | AnswerBody::Member(_) => Err(ClientError::FalseAnswer),
        }
    }
}
