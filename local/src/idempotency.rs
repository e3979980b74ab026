//! The successful replies of a service, by idempotency key. A repeated request gets the earlier reply and is
//! not performed again.

use std::any::Any;
use std::collections::HashMap;

#[derive(Default)]
pub(crate) struct ReplyCache(HashMap<String, Box<dyn Any + Send>>);

#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum IdempotencyKeyError {
    #[error("the idempotency key is missing")]
    Missing,
    #[error("the idempotency key was used for another request")]
    Conflict,
}

impl ReplyCache {
    /// The reply to an earlier request with the same key. `None` if no request with this key has succeeded
    /// yet.
    ///
    /// # Errors
    ///
    /// The key is empty, or the earlier request was different.
    pub(crate) fn find<Q: PartialEq + 'static, R: Clone + 'static>(
        &self,
        key: &str,
        request: &Q,
    ) -> Result<Option<R>, IdempotencyKeyError> {
        if key.is_empty() {
            return Err(IdempotencyKeyError::Missing);
        }
        let Some(earlier) = self.0.get(key) else {
            return Ok(None);
        };
        match earlier.downcast_ref::<(Q, R)>() {
            Some((earlier, reply)) if earlier == request => Ok(Some(reply.clone())),
            _ => Err(IdempotencyKeyError::Conflict),
        }
    }

    pub(crate) fn insert<Q: Send + 'static, R: Send + 'static>(&mut self, key: &str, request: Q, reply: R) {
        self.0.insert(key.to_owned(), Box::new((request, reply)));
    }
}
