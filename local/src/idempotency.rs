//! Successful replies by idempotency key: the same request gets the same reply, and no second effect.

use std::any::Any;
use std::collections::HashMap;

#[derive(Default)]
pub(crate) struct Replies(HashMap<String, Box<dyn Any + Send>>);

/// What is wrong with an idempotency key.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum BadKey {
    #[error("the idempotency key is missing")]
    Missing,
    #[error("the idempotency key was used for another request")]
    Conflict,
}

impl Replies {
    /// The reply this very request got before, if it was done.
    pub(crate) fn earlier<Q: PartialEq + 'static, R: Clone + 'static>(
        &self,
        key: &str,
        asked: &Q,
    ) -> Result<Option<R>, BadKey> {
        if key.is_empty() {
            return Err(BadKey::Missing);
        }
        let Some(done) = self.0.get(key) else {
            return Ok(None);
        };
        match done.downcast_ref::<(Q, R)>() {
            Some((done, reply)) if done == asked => Ok(Some(reply.clone())),
            _ => Err(BadKey::Conflict),
        }
    }

    pub(crate) fn keep<Q: Send + 'static, R: Send + 'static>(&mut self, key: &str, asked: Q, reply: R) {
        self.0.insert(key.to_owned(), Box::new((asked, reply)));
    }
}
