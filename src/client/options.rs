//! What one call, or all calls of a stub, have otherwise than their channel.

use crate::call::MessageRules;
use crate::compression::Encoding;
use crate::iomgr::Deadline;
use crate::metadata::{InvalidMetadata, Metadata};
use crate::status::Status;
use http::uri::Authority;
use std::time::{Duration, Instant};

/// What a call has besides its messages: a deadline, metadata, limits.
///
/// What is not set is as the channel has it ([`Builder`](super::Builder)). Options of a stub and of a
/// call add up: see [`merged_with`](Self::merged_with). Nothing here blocks.
///
/// ```
/// use std::time::Duration;
/// use turnstile::CallOptions;
///
/// let options = CallOptions::new()
///     .timeout(Duration::from_millis(200))
///     .metadata("x-request-id", "7")
///     .wait_for_ready(true);
/// # let _ = options;
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until a call is made with them"]
pub struct CallOptions {
    pub(super) limit: TimeLimit,
    pub(super) metadata: Metadata,
    pub(super) authority: Option<Authority>,
    pub(super) subtype: Option<Box<str>>,
    pub(super) wait_for_ready: Option<bool>,
    pub(super) compression: Option<Option<Encoding>>,
    pub(super) max_receive_size: Option<usize>,
    pub(super) max_send_size: Option<usize>,
    /// What cannot be, with which the call then ends.
    pub(super) error: Option<Status>,
}

/// For how long a call may go on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum TimeLimit {
    #[default]
    Unset,
    /// From when it is made.
    For(Duration),
    Until(Deadline),
}

impl TimeLimit {
    /// For a call that is made now.
    pub(super) fn deadline(self) -> Deadline {
        match self {
            Self::Unset => Deadline::NONE,
            Self::For(time) => Deadline::after(time),
            Self::Until(Deadline::NOW) => Deadline::at(Instant::now()),
            Self::Until(deadline) => deadline,
        }
    }
}

impl CallOptions {
    /// Options that change nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The call ends with DEADLINE_EXCEEDED when it has taken that long, counted from when it is made;
    /// its server is told how much is left. None by default: set one, for a server that hangs.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.limit = TimeLimit::For(timeout);
        self
    }

    /// The same at a point in time, such as that of the call that this one is made for.
    ///
    /// ```
    /// use turnstile::{CallOptions, Context};
    ///
    /// /// What a handler calls must be answered as long as its own client waits.
    /// fn on_behalf_of(call: &Context) -> CallOptions {
    ///     CallOptions::new().deadline(call.deadline())
    /// }
    /// # let _ = on_behalf_of(&Context::detached());
    /// ```
    pub fn deadline(mut self, deadline: impl Into<Deadline>) -> Self {
        self.limit = TimeLimit::Until(deadline.into());
        self
    }

    /// Adds an entry to the call's metadata. One that cannot be ends the call, before it is sent, with
    /// INTERNAL and with what [`Metadata::append`] says.
    pub fn metadata(mut self, key: &str, value: &str) -> Self {
        let added = self.metadata.append(key, value);
        self.note(added);
        self
    }

    /// The same for a key that ends in `-bin`: see [`Metadata::append_bin`].
    ///
    /// ```
    /// let options = turnstile::CallOptions::new().metadata_bin("trace-bin", &[0, 1, 255]);
    /// # let _ = options;
    /// ```
    pub fn metadata_bin(mut self, key: &str, value: &[u8]) -> Self {
        let added = self.metadata.append_bin(key, value);
        self.note(added);
        self
    }

    /// Adds all entries of `metadata`.
    pub fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.metadata.extend(metadata);
        self
    }

    /// The name of the server that the call asks for (`:authority`), instead of the channel's. One
    /// that cannot be ends the call with INTERNAL before it is sent.
    ///
    /// ```
    /// let options = turnstile::CallOptions::new().authority("tenant-7.example.com");
    /// # let _ = options;
    /// ```
    pub fn authority(mut self, authority: &str) -> Self {
        match Authority::try_from(authority) {
            Ok(authority) => self.authority = Some(authority),
            Err(error) => {
                let text = format!("{authority:?} cannot be the name of a server: {error}");
                self.fail(Status::internal(text).with_source(error));
            }
        }
        self
    }

    /// What the call says that its messages are encoded as: what follows `application/grpc+` in the
    /// content type, such as `json`. A stub says by itself what its codec is; this is for who sends bytes
    /// of another codec, as a proxy does. One that cannot be in a header ends the call with INTERNAL
    /// before it is sent.
    ///
    /// ```
    /// use turnstile::{Call, CallOptions};
    ///
    /// /// A call that is passed on: the next server has to read what the client has encoded.
    /// fn pass_on(call: &Call<u32>) -> CallOptions {
    ///     let options = CallOptions::new().with_metadata(call.metadata().clone());
    ///     match call.content_subtype() {
    ///         Some(subtype) => options.content_subtype(subtype),
    ///         None => options,
    ///     }
    /// }
    /// ```
    pub fn content_subtype(mut self, subtype: &str) -> Self {
        self.subtype = Some(subtype.into());
        self
    }

    /// Whether the call waits while its server cannot be reached, until its deadline. By default it
    /// fails then, with UNAVAILABLE and the cause; it waits in both cases while a first connect is under
    /// way (gRPC, "wait for ready semantics").
    pub fn wait_for_ready(mut self, waits: bool) -> Self {
        self.wait_for_ready = Some(waits);
        self
    }

    /// What the call's messages are compressed with, where that makes them smaller; `None` is not at
    /// all. A server that cannot read it ends the call with UNIMPLEMENTED.
    pub fn compression(mut self, encoding: Option<Encoding>) -> Self {
        self.compression = Some(encoding);
        self
    }

    /// The largest message that is received, in bytes, both as it comes and decompressed; a larger one
    /// ends the call with RESOURCE_EXHAUSTED.
    pub fn max_receive_message_size(mut self, bytes: usize) -> Self {
        self.max_receive_size = Some(bytes);
        self
    }

    /// The largest message that is sent, in bytes before compression.
    pub fn max_send_message_size(mut self, bytes: usize) -> Self {
        self.max_send_size = Some(bytes);
        self
    }

    /// These options, and those of `more` on top: what `more` sets counts, and metadata add up.
    ///
    /// ```
    /// use std::time::Duration;
    /// use turnstile::CallOptions;
    ///
    /// let usual = CallOptions::new().timeout(Duration::from_secs(1)).metadata("x-app", "shop");
    /// // A minute, and both entries.
    /// let long = usual.merged_with(CallOptions::new().timeout(Duration::from_secs(60)).metadata("x-job", "3"));
    /// # let _ = long;
    /// ```
    pub fn merged_with(mut self, more: Self) -> Self {
        self.metadata.extend(more.metadata);
        Self {
            limit: match more.limit {
                TimeLimit::Unset => self.limit,
                limit => limit,
            },
            metadata: self.metadata,
            authority: more.authority.or(self.authority),
            subtype: more.subtype.or(self.subtype),
            wait_for_ready: more.wait_for_ready.or(self.wait_for_ready),
            compression: more.compression.or(self.compression),
            max_receive_size: more.max_receive_size.or(self.max_receive_size),
            max_send_size: more.max_send_size.or(self.max_send_size),
            error: self.error.or(more.error),
        }
    }

    pub(super) fn message_rules(&self) -> MessageRules {
        let default = MessageRules::default();
        MessageRules {
            max_receive_size: self.max_receive_size.unwrap_or(default.max_receive_size),
            max_send_size: self.max_send_size.unwrap_or(default.max_send_size),
            compression: self.compression.unwrap_or(default.compression),
        }
    }

    fn note(&mut self, added: Result<(), InvalidMetadata>) {
        if let Err(error) = added {
            let text = format!("the call's metadata cannot be sent: {error}");
            self.fail(Status::internal(text).with_source(error));
        }
    }

    /// The call ends with `status` before it is sent, unless it does so already.
    pub(super) fn fail(&mut self, status: Status) {
        self.error.get_or_insert(status);
    }
}
