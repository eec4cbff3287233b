//! A call that a stub has made: what it has in common in both colours.

use super::channel::{Channel, What};
use super::interceptor::OutgoingCall;
use super::options::CallOptions;
use super::watch::{Chain, Watch, an_error};
use crate::call::{ClientCore, ClientOwner, OnlyReply};
use crate::codec::Codec;
use crate::forked;
use crate::iomgr::Pollset;
use crate::metadata::Metadata;
use crate::service::{MethodDescriptor, MethodKind, Response};
use crate::status::Status;
use bytes::Bytes;
use std::sync::Arc;

/// What calls are made with, of either colour.
#[derive(Clone, Debug)]
pub(super) struct Maker {
    channel: Channel,
    options: CallOptions,
    chain: Chain,
}

impl Maker {
    pub(super) fn new(channel: Channel) -> Self {
        Self { channel, options: CallOptions::new(), chain: Chain::default() }
    }

    pub(super) fn with(mut self, more: CallOptions) -> Self {
        self.options = self.options.merged_with(more);
        self
    }

    pub(super) fn intercept(mut self, interceptor: impl super::Interceptor) -> Self {
        self.chain.push(interceptor);
        self
    }

    /// Begins a call of which nothing is sent yet. `pollset` is where threads wait for it.
    pub(super) fn begin<Req, Res, C: Codec<Req>>(
        &self,
        method: &MethodDescriptor<Req, Res, C>,
        kind: MethodKind,
        pollset: Option<&Arc<Pollset>>,
    ) -> Exchange {
        let subtype = match C::SUBTYPE {
            // What everybody means who says nothing.
            "" | "proto" => None,
            other => Some(other.into()),
        };
        let mut options = self.options.clone();
        if method.kind() != kind {
            options.error.get_or_insert_with(|| other_kind(method.path(), method.kind(), kind));
        }
        let path = Bytes::from_static(method.path().as_bytes());
        if self.chain.is_empty() {
            let what = What { path, subtype };
            return Exchange { owner: self.channel.begin(what, options, pollset), watch: None };
        }
        let mut call = OutgoingCall::new(method.path(), options);
        let (agreed, started) = self.chain.start(&mut call);
        let OutgoingCall { context, mut options } = call;
        if let Err(status) = started {
            options.fail(status);
        }
        let path = match context.method() {
            same if same == method.path() => path,
            other => Bytes::copy_from_slice(other.as_bytes()),
        };
        let watch = Watch::new(self.chain.clone(), agreed, context);
        let owner = self.channel.begin(What { path, subtype }, options, pollset);
        Exchange { owner, watch: Some(watch) }
    }
}

#[cold]
fn other_kind(path: &str, is: MethodKind, called: MethodKind) -> Status {
    Status::internal(format!(
        "{path} is called as if it were {called:?}, and its descriptor says {is:?}: call it with the \
         function of the stub that is named so",
    ))
}

/// A call, its owner, and who watches it. Dropping it cancels the call, unless that is over.
pub(super) struct Exchange {
    owner: ClientOwner,
    watch: Option<Arc<Watch>>,
}

impl Exchange {
    pub(super) fn core(&self) -> &Arc<ClientCore> {
        self.owner.core()
    }

    pub(super) fn watch(&self) -> Option<&Arc<Watch>> {
        self.watch.as_ref()
    }

    /// Encoded bytes on their way out: see [`pass_out`].
    pub(super) fn pass_out(&self, encoded: Result<Bytes, Status>) -> Result<Bytes, Status> {
        pass_out(self.core(), self.watch.as_ref(), encoded)
    }

    /// The call ends early.
    pub(super) fn cancel(&self) {
        self.core().cancel(Status::cancelled("the application has cancelled the call"));
    }

    /// Initial metadata has come.
    pub(super) fn receive_metadata(&self, metadata: &Metadata) {
        let received = self.watch.iter().try_for_each(|it| it.metadata_received(metadata));
        if let Err(status) = received {
            self.core().cancel(status);
        }
    }

    /// A message has come.
    ///
    /// # Errors
    /// What is wrong with it, with which the call has ended.
    pub(super) fn receive<T>(
        &self,
        message: Bytes,
        decode: fn(Bytes) -> Result<T, Status>,
    ) -> Result<T, Status> {
        let message = match &self.watch {
            None => Ok(message),
            Some(watch) => watch.message_received(message),
        };
        let decoded = message.and_then(decode).map_err(an_error);
        if let Err(status) = &decoded {
            self.core().cancel(status.clone());
            self.end(status);
        }
        decoded
    }

    /// The call is over.
    pub(super) fn end(&self, status: &Status) {
        self.watch.iter().for_each(|watch| watch.ended(|| status.clone()));
    }

    /// What a call with one reply is to whoever has made it.
    ///
    /// # Errors
    /// Its status, or what is wrong with the message.
    pub(super) fn conclude<T>(
        &self,
        decode: fn(Bytes) -> Result<T, Status>,
        reply: OnlyReply,
        status: Status,
    ) -> Result<Response<T>, Status> {
        let OnlyReply { metadata, message, was_compressed } = reply;
        let metadata = metadata.unwrap_or_default();
        if let Some(watch) = &self.watch
            && let Err(panic) = watch.metadata_received(&metadata)
        {
            self.end(&panic);
            return Err(panic);
        }
        let message = match message {
            Some(message) if status.is_ok() => self.receive(message, decode),
            None if status.is_ok() => Err(Status::internal("the reply has been lost")),
            _ => Err(status.clone()),
        };
        let message = message.inspect_err(|status| self.end(status))?;
        self.end(&status);
        let mut response = Response::new(message);
        *response.metadata_mut() = metadata;
        *response.trailers_mut() = status.into_metadata();
        response.set_was_compressed(was_compressed);
        Ok(response)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let Some(watch) = self.watch.take().filter(|watch| !forked::leaks(watch)) else { return };
        watch.ended(|| {
            let core = self.core();
            let let_go = || Status::cancelled("the application has let go of the call");
            core.known_status().unwrap_or_else(|| {
                core.cancel(let_go());
                core.known_status().unwrap_or_else(let_go)
            })
        });
    }
}

/// Sends encoded bytes through the interceptors. An error ends the call, before anything of the message
/// is sent.
///
/// # Errors
/// That of the codec, or of an interceptor.
pub(super) fn pass_out(
    core: &Arc<ClientCore>,
    watch: Option<&Arc<Watch>>,
    encoded: Result<Bytes, Status>,
) -> Result<Bytes, Status> {
    let passed = match watch {
        None => encoded,
        Some(watch) => encoded.and_then(|message| watch.message_sent(message)),
    };
    passed.map_err(an_error).inspect_err(|status| core.cancel(status.clone()))
}

/// What a write is that the call did not take.
///
/// # Errors
/// How the call has ended, if it has ended so.
pub(super) fn not_taken(core: &Arc<ClientCore>) -> Result<bool, Status> {
    match core.known_status() {
        Some(status) if !status.is_ok() => Err(status),
        // With OK; or there are messages to be read before it is known how.
        Some(_) | None => Ok(false),
    }
}
