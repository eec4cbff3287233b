//! What can be set for a service or for one of its methods.

use super::Service;
use crate::call::MessageRules;
use crate::compression::Encoding;
use crate::error::Error;

/// What the messages of one method may be. What is not set is as its service has it, and then as
/// its server has it.
///
/// ```
/// use turnstile::service::MethodConfig;
///
/// fn small(method: MethodConfig) -> MethodConfig {
///     method.max_receive_message_size(64 * 1024).max_send_message_size(1024 * 1024)
/// }
/// # let _ = small;
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "what is set is in the value that comes back"]
pub struct MethodConfig {
    max_receive_size: Option<usize>,
    max_send_size: Option<usize>,
    /// `Some(None)` is not to compress.
    compression: Option<Option<Encoding>>,
}

impl MethodConfig {
    /// The largest message that is received: see
    /// [`Builder::max_receive_message_size`](crate::Builder::max_receive_message_size).
    ///
    /// ```
    /// # fn configure(service: turnstile::Service) -> turnstile::Service {
    /// service.configure("Upload", |method| method.max_receive_message_size(16 * 1024 * 1024))
    /// # }
    /// # let _ = configure;
    /// ```
    pub fn max_receive_message_size(mut self, bytes: usize) -> Self {
        self.max_receive_size = Some(bytes);
        self
    }

    /// The largest message that is sent: see
    /// [`Builder::max_send_message_size`](crate::Builder::max_send_message_size).
    ///
    /// ```
    /// # fn configure(service: turnstile::Service) -> turnstile::Service {
    /// service.configure("Download", |method| method.max_send_message_size(64 * 1024 * 1024))
    /// # }
    /// # let _ = configure;
    /// ```
    pub fn max_send_message_size(mut self, bytes: usize) -> Self {
        self.max_send_size = Some(bytes);
        self
    }

    /// What replies are compressed with, or that they are not: see
    /// [`Builder::compress_replies`](crate::Builder::compress_replies).
    ///
    /// ```
    /// # fn configure(service: turnstile::Service) -> turnstile::Service {
    /// // What is compressed already gains nothing.
    /// service.configure("Photo", |method| method.compress_replies(None))
    /// # }
    /// # let _ = configure;
    /// ```
    pub fn compress_replies(mut self, encoding: impl Into<Option<Encoding>>) -> Self {
        self.compression = Some(encoding.into());
        self
    }

    /// What is set here, and else there.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            max_receive_size: self.max_receive_size.or(other.max_receive_size),
            max_send_size: self.max_send_size.or(other.max_send_size),
            compression: self.compression.or(other.compression),
        }
    }

    /// What is set here, and else as the server has it.
    pub(crate) fn rules(self, server: MessageRules) -> MessageRules {
        MessageRules {
            max_receive_size: self.max_receive_size.unwrap_or(server.max_receive_size),
            max_send_size: self.max_send_size.unwrap_or(server.max_send_size),
            compression: self.compression.unwrap_or(server.compression),
        }
    }
}

/// What can be set for all methods of a service, and for one of them. A method's own setting comes
/// before its service's, and that before the server's, in whatever order they are made.
impl Service {
    /// The largest message that its methods receive: see
    /// [`Builder::max_receive_message_size`](crate::Builder::max_receive_message_size).
    ///
    /// ```
    /// # fn configure(service: turnstile::Service) -> turnstile::Service {
    /// service.max_receive_message_size(64 * 1024)
    /// # }
    /// # let _ = configure;
    /// ```
    #[must_use]
    pub fn max_receive_message_size(self, bytes: usize) -> Self {
        self.configure_all(|config| config.max_receive_message_size(bytes))
    }

    /// The largest message that its methods send: see
    /// [`Builder::max_send_message_size`](crate::Builder::max_send_message_size).
    ///
    /// ```
    /// # fn configure(service: turnstile::Service) -> turnstile::Service {
    /// service.max_send_message_size(1024 * 1024)
    /// # }
    /// # let _ = configure;
    /// ```
    #[must_use]
    pub fn max_send_message_size(self, bytes: usize) -> Self {
        self.configure_all(|config| config.max_send_message_size(bytes))
    }

    /// What its methods' replies are compressed with, or that they are not (`None`): see
    /// [`Builder::compress_replies`](crate::Builder::compress_replies).
    ///
    /// ```
    /// # #[cfg(feature = "gzip")]
    /// fn compress(service: turnstile::Service) -> turnstile::Service {
    ///     service.compress_replies(turnstile::Encoding::Gzip)
    /// }
    /// ```
    #[must_use]
    pub fn compress_replies(self, encoding: impl Into<Option<Encoding>>) -> Self {
        let encoding = encoding.into();
        self.configure_all(|config| config.compress_replies(encoding))
    }

    /// Configures one method, by its name in the .proto file: `SayHello`. A name that is not there
    /// is an error of [`Builder::build`](crate::Builder::build).
    ///
    /// ```
    /// # use turnstile::codec::Raw;
    /// # use turnstile::{Bytes, MethodDescriptor, Response, Server, service};
    /// # const UPLOAD: MethodDescriptor<Bytes, Bytes, Raw> =
    /// #     MethodDescriptor::unary("/demo.Files/Upload");
    /// # let files = service::Builder::new("demo.Files", ())
    /// #     .unary(UPLOAD, |_, file| async move { Ok(Response::new(file.into_inner())) })
    /// #     .build();
    /// let files = files
    ///     .max_receive_message_size(64 * 1024)
    ///     .configure("Upload", |method| method.max_receive_message_size(16 * 1024 * 1024));
    /// let server = Server::builder().add_service(files).bind("127.0.0.1:0")?;
    /// # drop(server);
    /// # Ok::<(), turnstile::Error>(())
    /// ```
    #[must_use]
    pub fn configure(
        mut self,
        method: &str,
        configure: impl FnOnce(MethodConfig) -> MethodConfig,
    ) -> Self {
        let config = configure(MethodConfig::default());
        let mut is_known = false;
        for known in self.methods.iter_mut().filter(|it| it.name() == method) {
            known.config = config.or(known.config);
            is_known = true;
        }
        if is_known {
            return self;
        }
        let names: Vec<_> = self.methods.iter().map(|it| it.name()).collect();
        let message = format!(
            "the service {} has no method {method:?} that could be configured; it has {}",
            self.name(),
            names.join(", "),
        );
        self.fails_with(Some(Error::config(message)))
    }

    fn configure_all(mut self, configure: impl Fn(MethodConfig) -> MethodConfig) -> Self {
        for method in &mut self.methods {
            method.defaults = configure(method.defaults);
        }
        self
    }
}
