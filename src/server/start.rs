//! From a description to a server that listens.

use super::builder::{Builder, Listen};
use super::connections::Connections;
use super::methods::Methods;
use super::run_queue::RunQueue;
use super::{Inner, Server};
use crate::error::{Error, Result};
use crate::iomgr::{Bound, ExecCtx, Iomgr, ListenAddress, Listening, PollsetSet, TcpListener};
use crate::monitor::Channelz;
use crate::service::{Attachment, Service, is_path};
use crate::stats;
use std::collections::{BTreeSet, HashSet};
use std::mem;
use std::sync::Arc;

impl Builder {
    /// Listens on `address`, besides those of [`listen`](Self::listen), and gives the server.
    ///
    /// ```
    /// use turnstile::Server;
    ///
    /// let mut builder = Server::builder();
    /// // A failure leaves the builder as it was: here, any port will do if that one is in use.
    /// let server = builder.bind("127.0.0.1:50051").or_else(|_| builder.bind("127.0.0.1:0"))?;
    /// println!("listening on {:?}", server.addresses());
    /// # Ok::<(), turnstile::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn bind(&mut self, address: &str) -> Result<Server> {
        self.listen(address);
        self.build().inspect_err(|_| drop(self.listeners.pop()))
    }

    /// Listens, and gives the server. Clients can connect from now on, and are served once threads
    /// come ([`Server::run`], or queues).
    ///
    /// The services and the sockets of [`listen_on`](Self::listen_on) go to the server; with an
    /// error, the builder keeps them, nothing listens, and all may be tried again.
    ///
    /// Callable from any thread; looking up host names blocks.
    ///
    /// # Errors
    /// An address that cannot be read, or listened on (in use, not allowed), with the address and
    /// the cause; a socket that does not listen; a polling engine that does not start, is not known, or
    /// is not the one that runs; a [child that was forked](crate#fork) after its parent had one; no address at all; two services with one name, or a service and a registered method with one path; a method
    /// whose path no call can have, or that was added as another kind; services that went to a
    /// server before.
    pub fn build(&mut self) -> Result<Server> {
        if self.listeners.is_empty() {
            self.check_ungiven()?;
            let message = "the server has no address; give it one with Builder::listen, or build it \
                           with Builder::build_in_process";
            return Err(Error::config(message));
        }
        self.build_with(Self::bind_all)
    }

    /// Gives a server that listens nowhere, whatever addresses there are: for
    /// [`in_process_channel`](Server::in_process_channel) alone.
    ///
    /// Callable from any thread; never blocks.
    ///
    /// # Errors
    /// As [`build`](Self::build), but for addresses.
    ///
    /// ```
    /// use turnstile::client::blocking::Stub;
    /// use turnstile::{CallOptions, Server};
    ///
    /// let server = Server::builder().build_in_process()?;
    /// let stub = Stub::new(server.in_process_channel(CallOptions::new()));
    /// # drop((stub, server));
    /// # Ok::<(), turnstile::Error>(())
    /// ```
    pub fn build_in_process(&mut self) -> Result<Server> {
        self.build_with(|_, _| Ok(Vec::new()))
    }

    fn build_with(
        &mut self,
        bind: impl FnOnce(&Self, &Arc<Iomgr>) -> Result<Vec<Bound>>,
    ) -> Result<Server> {
        self.check_ungiven()?;
        self.check_services()?;
        let iomgr = Iomgr::of_process_with(self.engine.as_ref())?;
        let sockets = bind(self, &iomgr)?;
        let (set, run_queue) = (PollsetSet::new(&iomgr), RunQueue::new(iomgr.clone()));
        set.add_set(&PollsetSet::everybody(&iomgr))?;
        sockets.iter().try_for_each(|socket| socket.add_to(&set))?;
        // From here on nothing fails, and what the builder has may be taken.
        self.listeners.retain(|it| matches!(it, Listen::At(_)));
        Ok(self.start(&iomgr, set, run_queue, sockets))
    }

    /// The services are still here.
    fn check_ungiven(&self) -> Result<()> {
        if self.has_given_services {
            let message = "this builder's services went to the server that it built; make another \
                           builder, with services of its own";
            return Err(Error::config(message));
        }
        Ok(())
    }

    /// Lets the kernel listen, and nobody accept.
    fn bind_all(&self, iomgr: &Arc<Iomgr>) -> Result<Vec<Bound>> {
        let options = Listening {
            reuse_port: self.reuse_port,
            user_timeout: self.config.timeouts.user_timeout(),
        };
        let mut sockets = Vec::new();
        for listener in &self.listeners {
            match listener {
                Listen::At(text) => {
                    for address in ListenAddress::resolve(text)? {
                        sockets.push(Bound::new(iomgr, &address, options)?);
                    }
                }
                // A copy, which is also closed on exec.
                Listen::On(socket) => {
                    sockets.push(Bound::adopt(iomgr, socket.try_clone()?, options)?);
                }
            }
        }
        Ok(sockets)
    }

    fn start(
        &mut self,
        iomgr: &Arc<Iomgr>,
        set: PollsetSet,
        run_queue: Arc<RunQueue>,
        sockets: Vec<Bound>,
    ) -> Server {
        let set = Arc::new(set);
        let served = self.served();
        let (methods, attachments) = self.take_services();
        attachments.iter().for_each(|it| it.on_build(served.clone()));
        let inner = Arc::new(Inner {
            iomgr: iomgr.clone(),
            set: set.clone(),
            config: Arc::new(self.config.clone()),
            methods,
            stats: stats::combine(&self.stats.0),
            monitor: self.channelz.as_ref().map(Channelz::monitor),
            run_queue,
            attachments,
            connections: Connections::default(),
        });
        let listen = |socket| TcpListener::new(iomgr, &set, socket, inner.clone());
        let listeners: Vec<_> = sockets.into_iter().map(listen).collect();
        let addresses: Vec<_> = listeners.iter().map(|it| it.address().clone()).collect();
        for address in &addresses {
            let engine = iomgr.engine_name();
            tracing::info!(target: "turnstile::server", %address, engine, "listening");
        }
        inner.monitor.iter().for_each(|monitor| monitor.enter(&addresses));
        let _context = ExecCtx::enter();
        inner.connections.listen(listeners);
        Server { inner, addresses }
    }

    /// Each service and each path is there once and can be called, and each service could be made.
    fn check_services(&self) -> Result<()> {
        if let Some(error) = self.services.iter().find_map(Service::error) {
            // A copy, since the next build must fail as well.
            return Err(Error::config(error.to_string()));
        }
        if let Some(name) = self.methods.iter().map(|it| it.method.name()).find(|it| !is_path(it)) {
            return Err(Error::config(format!(
                "the method {name:?} was registered, and no request can have such a path; a method's \
                 is like \"/package.Service/Method\"",
            )));
        }
        let mut names = HashSet::new();
        let mut paths: HashSet<&str> = self.methods.iter().map(|it| it.method.name()).collect();
        for service in &self.services {
            if let Some(name) = service.names().iter().find(|name| !names.insert(**name)) {
                return Err(Error::config(format!(
                    "the service {name} was added twice; add each service once",
                )));
            }
            if let Some(path) = service.paths().find(|path| !paths.insert(path)) {
                return Err(Error::config(format!(
                    "the method {path} has a handler in the service {} and was registered or added \
                     besides; do one of the two",
                    service.name(),
                )));
            }
        }
        Ok(())
    }

    /// The services that clients find here; `None` if calls of any are taken.
    fn served(&self) -> Option<BTreeSet<String>> {
        if self.fallback.is_some() {
            return None;
        }
        let services = self.services.iter().flat_map(Service::names).map(ToString::to_string);
        let service_of =
            |path: &str| path.trim_start_matches('/').split('/').next().map(str::to_owned);
        let registered = self.methods.iter().filter_map(|it| service_of(it.method.name()));
        Some(services.chain(registered).collect())
    }

    /// Takes the services: their methods, and what wants to know of the server.
    fn take_services(&mut self) -> (Methods, Vec<Arc<dyn Attachment>>) {
        self.has_given_services = !self.services.is_empty() || self.fallback.is_some();
        let chain = &self.interceptors;
        let (mut handled, mut attachments) = (Vec::new(), Vec::new());
        for service in mem::take(&mut self.services) {
            let (methods, attached) = service.into_parts();
            handled.extend(methods.into_iter().map(|method| method.intercepted_by(chain)));
            attachments.extend(attached);
        }
        let fallback = self.fallback.take().and_then(|service| service.into_parts().0.pop());
        let fallback = fallback.map(|method| method.intercepted_by(chain));
        let methods = Methods::new(
            self.methods.clone(),
            handled,
            fallback,
            self.rules,
            self.max_waiting_calls,
        );
        (methods, attachments)
    }
}
