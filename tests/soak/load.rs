//! The clients under which the server is put: calls of all kinds, many at a time, of which some
//! complete and the others are given up at every point.

use super::client::{self, Connected, Messages};
use super::ledger::Ledger;
use super::random::Random;
use super::service::{Kind, Plan};
use bytes::Bytes;
use h2::Reason;
use h2::SendStream;
use h2::client::SendRequest;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long anything may take that is not made to take long.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a call that the server holds is left alone at most.
const HOLD: Duration = Duration::from_millis(20);

/// The largest message.
const LARGE: u64 = 40_000;

/// The shape of the load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    pub(crate) calls: usize,
    pub(crate) seed: u64,
    /// A connection is dropped once in so many calls.
    pub(crate) drops_once_in: u64,
}

/// What is going on at the client's end.
pub(crate) struct Load {
    address: SocketAddr,
    shape: Shape,
    ledger: Arc<Ledger>,
    connections: Vec<Mutex<Option<Connected>>>,
    stop: AtomicBool,
    next_id: AtomicU64,
    pub(crate) counts: Counts,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) begun: AtomicU64,
    pub(crate) completed: AtomicU64,
    pub(crate) expired: AtomicU64,
    pub(crate) reset: AtomicU64,
    pub(crate) given_up: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) dropped_connections: AtomicU64,
    pub(crate) connects: AtomicU64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { begun, completed, expired, reset, given_up, lost, .. } = self;
        write!(
            f,
            "{} calls: {} completed, {} expired, {} reset, {} given up, {} lost with their \
             connection ({} connections dropped, {} made)",
            begun.load(SeqCst),
            completed.load(SeqCst),
            expired.load(SeqCst),
            reset.load(SeqCst),
            given_up.load(SeqCst),
            lost.load(SeqCst),
            self.dropped_connections.load(SeqCst),
            self.connects.load(SeqCst),
        )
    }
}

/// How a call is to end.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Completes,
    /// RST_STREAM after so many steps of the client.
    IsResetAt(u64),
    /// The client drops its ends of the stream after this time.
    IsGivenUpAfter(Duration),
    /// `grpc-timeout`.
    Expires(Duration),
}

/// How a call has ended early, at the client's end.
enum End {
    Reset,
    Error(h2::Error),
}

impl From<h2::Error> for End {
    fn from(error: h2::Error) -> Self {
        Self::Error(error)
    }
}

impl Load {
    pub(crate) fn new(address: SocketAddr, shape: Shape, ledger: Arc<Ledger>) -> Arc<Self> {
        Arc::new(Self {
            address,
            shape,
            ledger,
            connections: (0..shape.connections).map(|_| Mutex::default()).collect(),
            stop: AtomicBool::new(false),
            next_id: AtomicU64::new(0),
            counts: Counts::default(),
        })
    }

    /// Lets the calls there are be the last.
    pub(crate) fn stop(&self) {
        self.stop.store(true, SeqCst);
    }

    /// Keeps the load up until [`stop`](Self::stop), and leaves the connections open.
    pub(crate) async fn run(self: &Arc<Self>) {
        let workers: Vec<JoinHandle<()>> = (0..self.shape.calls)
            .map(|index| tokio::spawn(self.clone().call_again_and_again(index)))
            .collect();
        for worker in workers {
            worker.await.expect("a worker of the load panicked");
        }
    }

    /// Waits until the server has closed every connection, as it does in a graceful shutdown.
    pub(crate) async fn wait_for_close(&self) {
        for slot in &self.connections {
            let Some(connected) = slot.lock().await.take() else { continue };
            match timeout(PATIENCE, connected.driver).await {
                Ok(Ok(Ok(()))) => {}
                other => self.ledger.fault(format!("a graceful shutdown ended with {other:?}")),
            }
        }
    }

    async fn call_again_and_again(self: Arc<Self>, index: usize) {
        let mut random = Random::new(self.shape.seed ^ Random::new(index as u64).next());
        let connection = index % self.connections.len();
        while !self.stop.load(SeqCst) {
            if random.once_in(self.shape.drops_once_in) {
                self.drop_connection(connection).await;
            }
            let Some(sender) = self.sender(connection).await else { continue };
            self.call(sender, &mut random).await;
        }
    }

    /// A connection's sender, once it can send; `None` if it cannot any more.
    async fn sender(&self, connection: usize) -> Option<SendRequest<Bytes>> {
        let mut slot = self.connections[connection].lock().await;
        let sender = match &*slot {
            Some(connected) if !connected.driver.is_finished() => connected.sender.clone(),
            _ => {
                // The runtime is told why by nobody else: a connection ends here only by drop.
                if let Some(Connected { driver, .. }) = slot.take() {
                    let end = driver.await;
                    self.ledger.fault(format!("the server ended a connection: {end:?}"));
                }
                let connected = match timeout(PATIENCE, client::connect(self.address)).await {
                    Ok(Ok(connected)) => connected,
                    Ok(Err(error)) => {
                        self.ledger.fault(format!("cannot connect: {error}"));
                        return None;
                    }
                    Err(_) => {
                        self.ledger.fault("cannot connect in time".to_owned());
                        return None;
                    }
                };
                self.counts.connects.fetch_add(1, SeqCst);
                slot.insert(connected).sender.clone()
            }
        };
        drop(slot);
        match timeout(PATIENCE, sender.ready()).await {
            Ok(ready) => ready.ok(),
            Err(_) => {
                self.ledger.fault("a connection takes no stream".to_owned());
                None
            }
        }
    }

    /// Closes a connection with everything on it.
    async fn drop_connection(&self, connection: usize) {
        let connected = self.connections[connection].lock().await.take();
        if let Some(connected) = connected {
            self.counts.dropped_connections.fetch_add(1, SeqCst);
            connected.driver.abort();
            let _ = connected.driver.await;
        }
    }

    async fn call(&self, sender: SendRequest<Bytes>, random: &mut Random) {
        let id = self.next_id.fetch_add(1, SeqCst);
        self.ledger.begin(id);
        let fate = match random.within(0..100) {
            0..55 => Fate::Completes,
            55..75 => Fate::IsResetAt(random.within(0..6)),
            75..85 => Fate::IsGivenUpAfter(random.up_to(HOLD)),
            _ => Fate::Expires(Duration::from_micros(random.within(50..20_000))),
        };
        let holds = match fate {
            Fate::Completes => false,
            Fate::IsResetAt(_) | Fate::IsGivenUpAfter(_) | Fate::Expires(_) => random.once_in(2),
        };
        let length = match random.within(0..100) {
            0..10 => 0,
            10..95 => random.within(1..200),
            _ => random.within(200..LARGE),
        };
        let call = OneCall {
            kind: Kind::ALL[random.within(0..4) as usize],
            plan: Plan { id, holds, replies: random.within(0..8) },
            messages: random.within(1..8),
            message: Bytes::from(vec![id as u8; length as usize]),
            fate,
            steps: 0,
        };
        self.counts.begun.fetch_add(1, SeqCst);
        // A call that is held must be given up some time, if its fate does not see to it.
        let within = match (fate, holds) {
            (Fate::IsGivenUpAfter(time), _) => time,
            (Fate::IsResetAt(_), true) => random.up_to(HOLD),
            _ => PATIENCE,
        };
        let what = format!("{:?} {:?} {fate:?}", call.kind, call.plan);
        let ended = timeout(within, call.run(sender, self.address)).await;
        let count = match ended {
            Err(_) if within < PATIENCE => &self.counts.given_up,
            Err(_) => return self.ledger.fault(format!("{what}: it hangs")),
            Ok(Err(End::Reset)) => &self.counts.reset,
            Ok(Ok(status)) => {
                self.ledger.client_has(id, status);
                match (status, fate, holds) {
                    (4, Fate::Expires(_), _) => &self.counts.expired,
                    (0, _, false) => &self.counts.completed,
                    _ => return self.ledger.fault(format!("{what}: ended with {status}")),
                }
            }
            // Another call of the load has dropped the connection.
            Ok(Err(End::Error(error))) if error.is_io() || error.is_go_away() => &self.counts.lost,
            Ok(Err(End::Error(error))) => {
                return self.ledger.fault(format!("{what}: {error:?}"));
            }
        };
        count.fetch_add(1, SeqCst);
    }
}

struct OneCall {
    kind: Kind,
    plan: Plan,
    /// How many messages a stream to the server has.
    messages: u64,
    message: Bytes,
    fate: Fate,
    steps: u64,
}

impl OneCall {
    /// Gives the status that the server has sent.
    async fn run(
        mut self,
        mut sender: SendRequest<Bytes>,
        address: SocketAddr,
    ) -> Result<i32, End> {
        let mut request = client::request(address, self.kind.path())
            .header("x-id", self.plan.id)
            .header("x-holds", u16::from(self.plan.holds))
            .header("x-replies", self.plan.replies);
        if let Fate::Expires(after) = self.fate {
            request = request.header("grpc-timeout", format!("{}u", after.as_micros()));
        }
        let request = request.body(()).expect("a valid request");
        let (response, mut stream) = sender.send_request(request, false)?;
        // Kept, it would be one more reason for the connection to stay open.
        drop(sender);
        self.step(&mut stream)?;
        let framed = client::frame(&self.message);
        let count = match self.kind {
            Kind::Unary | Kind::ServerStream => 1,
            Kind::ClientStream => self.messages,
            // The others follow the echoes.
            Kind::Bidi => 1,
        };
        let sent = self.send(&mut stream, &framed, count).await;
        // Any other error means that the server has ended the call; how, its response says.
        if let Err(End::Reset) = sent {
            return Err(End::Reset);
        }
        let response = response.await?;
        if let Some(status) = client::status(response.headers()) {
            return Ok(status);
        }
        self.step(&mut stream)?;
        let mut replies = Messages::of(response.into_body());
        let mut received = 0;
        let mut echoes_left = if self.kind == Kind::Bidi { self.messages } else { 0 };
        while let Some(reply) = replies.next().await? {
            received += 1;
            self.check(&reply);
            self.step(&mut stream)?;
            if echoes_left > 0 {
                echoes_left -= 1;
                // An error means that the server has ended the call; how, comes with the replies.
                let _ = if echoes_left > 0 {
                    stream.send_data(framed.clone(), false)
                } else {
                    stream.send_data(Bytes::new(), true)
                };
            }
        }
        let status = replies.status().await?;
        let expected = match self.kind {
            Kind::Unary | Kind::ClientStream => 1,
            Kind::ServerStream => self.plan.replies,
            Kind::Bidi => self.messages,
        };
        assert!(status != Some(0) || received == expected, "{received} of {expected} replies");
        Ok(status.expect("every response has a status"))
    }

    /// Sends the messages, and half-closes after them unless the method is bidi.
    async fn send(
        &mut self,
        stream: &mut SendStream<Bytes>,
        framed: &Bytes,
        count: u64,
    ) -> Result<(), End> {
        for _ in 0..count {
            stream.send_data(framed.clone(), false)?;
            self.step(stream)?;
            // So that the messages of a stream do not always go out together.
            tokio::task::yield_now().await;
        }
        if self.kind != Kind::Bidi {
            stream.send_data(Bytes::new(), true)?;
            self.step(stream)?;
        }
        Ok(())
    }

    /// The client has done something; perhaps it was the last before a reset.
    fn step(&mut self, stream: &mut SendStream<Bytes>) -> Result<(), End> {
        let step = self.steps;
        self.steps += 1;
        match self.fate {
            Fate::IsResetAt(at) if at == step => {
                stream.send_reset(Reason::CANCEL);
                Err(End::Reset)
            }
            _ => Ok(()),
        }
    }

    fn check(&self, reply: &Bytes) {
        match self.kind {
            Kind::ClientStream => assert_eq!(&reply[..], self.messages.to_be_bytes()),
            _ => assert_eq!(*reply, self.message, "{:?} {:?}", self.kind, self.plan),
        }
    }
}
