//! Bursts of one-byte messages on streams of one connection, to readers that are fast and slow.
//!
//! A slow reader takes nothing until its sender can send no more, or has sent everything. Then it
//! takes one message at a time, each after everything else that there is to do.

use super::client::{self, Connected, Messages, WINDOW};
use super::random::Random;
use super::tags::{Tags, Token};
use bytes::Bytes;
use h2::client::SendRequest;
use h2::{PingPong, SendStream};
use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc};
use tokio::time::timeout;
use turnstile::{Alarm, Batch, Call, CompletionQueue, Deadline, Event, Method, Server, Status};

const MESSAGES: u32 = 100_000;

/// A message with its prefix.
const FRAMED: usize = 6;

/// How many messages a client that reads none has window for.
const WINDOWFUL: u32 = WINDOW / FRAMED as u32;

const PATIENCE: Duration = Duration::from_secs(120);

/// Who sends, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Direction {
    ToServer(Framing, Reader),
    ToClient(Reader),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// A DATA frame for each message, or two where the window ends inside it.
    OneEach,
    /// DATA frames of any length, which end anywhere.
    Packed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    Fast,
    Slow,
}

/// What the `index`th message is.
fn byte(index: u32) -> u8 {
    // A prime, so that the pattern does not fit any buffer's size.
    (index % 251) as u8
}

struct Tag {
    what: What,
    _token: Token,
}

enum What {
    Upload,
    Download,
    Received(Arc<Stream>),
    /// Everything else has been done; now the next message.
    Rang(Arc<Stream>),
    Sent(Arc<Stream>),
    Done,
    ShutDown,
}

/// A call at the server.
struct Stream {
    call: Call<Tag>,
    is_slow: bool,
    messages: AtomicU32,
    /// Told when a client that reads nothing has what it has window for.
    windowful: Notify,
    alarm: Mutex<Option<Alarm>>,
}

struct Bursts {
    server: Server,
    upload: Method,
    download: Method,
    queue: CompletionQueue<Tag>,
    tags: Arc<Tags>,
    /// Calls that have come, with their ids, for the client's thread to begin with.
    came: mpsc::UnboundedSender<(usize, Arc<Stream>)>,
}

/// Serves and sends all of the bursts at once on one connection.
pub(crate) fn run(stream_window: u32, directions: &[Direction]) {
    let mut builder = Server::builder();
    // The client tells by PINGs how far the server has come: more than one is to send.
    builder.min_ping_interval(Duration::ZERO);
    builder.stream_window(stream_window);
    let (came, incoming) = mpsc::unbounded_channel();
    let bursts = Arc::new(Bursts {
        upload: builder.register_method("/soak.Burst/Upload"),
        download: builder.register_method("/soak.Burst/Download"),
        server: builder.bind("127.0.0.1:0").expect("a free port"),
        queue: CompletionQueue::new(),
        tags: Arc::default(),
        came,
    });
    for _ in directions {
        bursts.request(What::Upload);
        bursts.request(What::Download);
    }
    let servers = [(); 2].map(|()| {
        let bursts = bursts.clone();
        std::thread::spawn(move || {
            while let Some(event) = bursts.queue.next(Deadline::NONE) {
                bursts.handle(event);
            }
        })
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let done = runtime.block_on(async {
        timeout(PATIENCE, send_all(&bursts, stream_window, directions, incoming)).await
    });
    let progress = done.map_err(|_| format!("{directions:?} does not end"));
    // With the runtime the connection is closed, if it is not.
    drop(runtime);
    let tag = bursts.tag(What::ShutDown);
    bursts.server.shutdown_and_notify(&bursts.queue, tag).expect("the queue is open");
    bursts.tags.enter();
    bursts.server.cancel_all_calls();
    for server in servers {
        server.join().expect("a server thread panicked");
    }
    progress.unwrap();
    bursts.tags.assert_none_lost();
}

impl Bursts {
    fn tag(&self, what: What) -> Tag {
        Tag { what, _token: self.tags.token() }
    }

    fn request(&self, what: What) {
        let method = if matches!(what, What::Upload) { &self.upload } else { &self.download };
        let tag = self.tag(what);
        self.server
            .request_registered_call(method, &self.queue, &self.queue, tag)
            .expect("the queue is open");
        self.tags.enter();
    }

    fn handle(&self, mut event: Event<Tag>) {
        self.tags.come_out();
        let is_ok = event.is_ok();
        let message = event.take_message();
        match &event.tag.what {
            What::Upload | What::Download => {
                let is_upload = matches!(event.tag.what, What::Upload);
                if let Some(call) = event.take_call() {
                    self.take(call, is_upload);
                }
            }
            What::Received(stream) => {
                assert!(is_ok, "a message is missing");
                let index = stream.messages.load(SeqCst);
                match message {
                    Some(message) => {
                        assert_eq!(&message[..], [byte(index)], "message {index}");
                        stream.messages.store(index + 1, SeqCst);
                        if stream.is_slow { self.wait(stream) } else { self.receive(stream) }
                    }
                    None => {
                        let batch = Batch::new()
                            .send_message(Bytes::copy_from_slice(&index.to_be_bytes()))
                            .send_status(Status::ok());
                        self.start(stream, batch, What::Done);
                    }
                }
            }
            What::Rang(stream) => self.receive(stream),
            What::Sent(stream) => {
                assert!(is_ok, "message {} was not sent", stream.messages.load(SeqCst));
                if stream.messages.fetch_add(1, SeqCst) + 1 == WINDOWFUL {
                    stream.windowful.notify_one();
                }
                self.send(stream);
            }
            What::Done => assert!(is_ok, "the end was not sent"),
            What::ShutDown => self.queue.shutdown(),
        }
    }

    fn take(&self, call: Call<Tag>, is_upload: bool) {
        let number = |key| call.metadata().get(key).and_then(|value| value.parse().ok());
        let id: usize = number("x-id").expect("every call has an id");
        let is_slow = number("x-slow") == Some(1);
        let stream = Arc::new(Stream {
            call,
            is_slow,
            messages: AtomicU32::new(0),
            windowful: Notify::new(),
            alarm: Mutex::new(None),
        });
        match (is_upload, is_slow) {
            // The client's thread begins.
            (true, true) => {}
            (true, false) => self.receive(&stream),
            (false, _) => self.send(&stream),
        }
        let _ = self.came.send((id, stream));
    }

    fn start(&self, stream: &Stream, batch: Batch, what: What) {
        stream.call.start(batch, self.tag(what)).expect("one operation at a time");
        self.tags.enter();
    }

    fn receive(&self, stream: &Arc<Stream>) {
        self.start(stream, Batch::new().receive_message(), What::Received(stream.clone()));
    }

    /// Lets everything else go first.
    fn wait(&self, stream: &Arc<Stream>) {
        let tag = self.tag(What::Rang(stream.clone()));
        let alarm = Alarm::set(&self.queue, Deadline::NOW, tag);
        let alarm = alarm.expect("the queue is open");
        self.tags.enter();
        // The one before has rung, so that dropping it does nothing.
        *stream.alarm.lock().unwrap() = Some(alarm);
    }

    fn send(&self, stream: &Arc<Stream>) {
        let index = stream.messages.load(SeqCst);
        if index < MESSAGES {
            let batch = Batch::new().send_message(vec![byte(index)]);
            self.start(stream, batch, What::Sent(stream.clone()));
        } else {
            self.start(stream, Batch::new().send_status(Status::ok()), What::Done);
        }
    }
}

/// The client.
struct Client {
    bursts: Arc<Bursts>,
    stream_window: u32,
    sender: SendRequest<Bytes>,
    pings: AsyncMutex<PingPong>,
    /// Calls that have come to the server and were not asked for yet.
    came: AsyncMutex<Came>,
}

struct Came {
    incoming: mpsc::UnboundedReceiver<(usize, Arc<Stream>)>,
    streams: Vec<Option<Arc<Stream>>>,
}

async fn send_all(
    bursts: &Arc<Bursts>,
    stream_window: u32,
    directions: &[Direction],
    incoming: mpsc::UnboundedReceiver<(usize, Arc<Stream>)>,
) {
    let address = bursts.server.local_addr().expect("it listens on TCP");
    let connected = client::connect(address).await.expect("the server accepts");
    // The connection's task ends with the runtime.
    let Connected { sender, pings, driver: _ } = connected;
    let pings = AsyncMutex::new(pings);
    let came = Came { incoming, streams: vec![None; directions.len()] };
    let came = AsyncMutex::new(came);
    let client = Arc::new(Client { bursts: bursts.clone(), stream_window, sender, pings, came });
    let calls: Vec<_> = directions
        .iter()
        .enumerate()
        .map(|(id, direction)| {
            let (client, direction) = (client.clone(), *direction);
            tokio::spawn(async move {
                match direction {
                    Direction::ToServer(framing, reader) => {
                        client.upload(id, framing, reader).await
                    }
                    Direction::ToClient(reader) => client.download(id, reader).await,
                }
            })
        })
        .collect();
    for call in calls {
        call.await.expect("a call panicked").expect("a call failed");
    }
}

impl Client {
    /// The server's end of a call.
    async fn at_server(&self, id: usize) -> Arc<Stream> {
        let mut came = self.came.lock().await;
        loop {
            if let Some(stream) = came.streams[id].take() {
                return stream;
            }
            let (id, stream) = came.incoming.recv().await.expect("the server is there");
            came.streams[id] = Some(stream);
        }
    }

    async fn begin(
        &self,
        id: usize,
        path: &str,
        reader: Reader,
    ) -> Result<(h2::client::ResponseFuture, SendStream<Bytes>), h2::Error> {
        let address = self.bursts.server.local_addr().expect("it listens on TCP");
        let request = client::request(address, path)
            .header("x-id", id)
            .header("x-slow", u16::from(reader == Reader::Slow))
            .body(())
            .expect("a valid request");
        let mut sender = self.sender.clone().ready().await?;
        sender.send_request(request, false)
    }

    async fn upload(&self, id: usize, framing: Framing, reader: Reader) -> Result<(), h2::Error> {
        let (response, mut stream) = self.begin(id, "/soak.Burst/Upload", reader).await?;
        let bytes: Bytes = (0..MESSAGES).flat_map(|index| [0, 0, 0, 0, 1, byte(index)]).collect();
        let mut left = bytes.clone();
        if reader == Reader::Slow {
            let window = bytes.len().min(self.stream_window as usize);
            send(&mut stream, framing, &mut left, bytes.len() - window).await?;
            let at_server = self.at_server(id).await;
            if !left.is_empty() {
                self.assert_stopped(&mut stream, left.len()).await?;
            }
            assert_eq!(at_server.messages.load(SeqCst), 0, "nobody has read yet");
            self.bursts.receive(&at_server);
        }
        send(&mut stream, framing, &mut left, 0).await?;
        stream.send_data(Bytes::new(), true)?;
        let response = response.await?;
        assert_eq!(client::status(response.headers()), None, "a reply must come");
        let mut replies = Messages::of(response.into_body());
        let count = replies.next().await?.expect("a reply");
        assert_eq!(&count[..], MESSAGES.to_be_bytes());
        assert_eq!(replies.next().await?, None);
        assert_eq!(replies.status().await?, Some(0));
        Ok(())
    }

    /// A sender gets no more window when the server has received everything.
    async fn assert_stopped(
        &self,
        stream: &mut SendStream<Bytes>,
        left: usize,
    ) -> Result<(), h2::Error> {
        stream.reserve_capacity(left);
        // A PING may overtake what was sent before it, but not what had left before the one
        // before was answered.
        for _ in 0..3 {
            client::ping(&mut *self.pings.lock().await).await?;
            assert_eq!(stream.capacity(), 0, "nobody reads, and yet there is more window");
        }
        Ok(())
    }

    async fn download(&self, id: usize, reader: Reader) -> Result<(), h2::Error> {
        let (response, _stream) = self.begin(id, "/soak.Burst/Download", reader).await?;
        let at_server = self.at_server(id).await;
        if reader == Reader::Slow {
            at_server.windowful.notified().await;
        }
        let mut replies = Messages::of(response.await?.into_body());
        let mut received = 0;
        loop {
            // The server has seen no more window than this, or less.
            let most = WINDOW as usize + replies.released;
            let sent = at_server.messages.load(SeqCst) as usize * FRAMED;
            assert!(sent <= most, "{sent} bytes count as sent, with a window of {most}");
            let Some(message) = replies.next().await? else { break };
            assert_eq!(&message[..], [byte(received)], "message {received}");
            received += 1;
            if reader == Reader::Slow {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(received, MESSAGES);
        assert_eq!(replies.status().await?, Some(0));
        Ok(())
    }
}

/// Sends until `keep` bytes are left, as far as the window is open.
async fn send(
    stream: &mut SendStream<Bytes>,
    framing: Framing,
    left: &mut Bytes,
    keep: usize,
) -> Result<(), h2::Error> {
    let mut random = Random::new(left.len() as u64);
    while left.len() > keep {
        let length = match framing {
            // Up to the end of a message.
            Framing::OneEach => (left.len() - 1) % FRAMED + 1,
            Framing::Packed => random.within(1..16_384) as usize,
        };
        let length = length.min(left.len() - keep);
        stream.reserve_capacity(length);
        while stream.capacity() == 0 {
            poll_fn(|context| stream.poll_capacity(context)).await.transpose()?;
        }
        stream.send_data(left.split_to(length.min(stream.capacity())), false)?;
    }
    Ok(())
}
