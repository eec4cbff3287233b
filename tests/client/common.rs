//! What these tests share: methods, a server that has them, and stubs of both colours.

use std::fmt::Debug;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use turnstile::client::{Stub, blocking};
use turnstile::service::Builder as ServiceBuilder;
use turnstile::test_server::TestServer;
use turnstile::{CallOptions, Channel, MethodDescriptor, Response, Server, Service, Status};

/// A bound on what should happen soon, for a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A method whose messages are text.
pub(crate) type Text = MethodDescriptor<String, String>;

pub(crate) const UNARY: Text = Text::unary("/test.Demo/Unary");
pub(crate) const UPLOAD: Text = Text::client_streaming("/test.Demo/Upload");
pub(crate) const LIST: Text = Text::server_streaming("/test.Demo/List");
pub(crate) const CHAT: Text = Text::bidi_streaming("/test.Demo/Chat");

/// The service of most tests, without methods.
pub(crate) fn demo() -> ServiceBuilder<()> {
    ServiceBuilder::new("test.Demo", ())
}

/// A service that answers what the messages say.
pub(crate) fn echo() -> Service {
    demo()
        .unary(UNARY, |_, request| async move {
            let mut response = Response::new(format!("Hello {}", *request));
            copy_metadata(request.metadata(), &mut response)?;
            Ok(response)
        })
        .client_streaming(UPLOAD, |_, mut requests| async move {
            let mut all = Vec::new();
            while let Some(request) = requests.read().await? {
                all.push(request);
            }
            let mut response = Response::new(all.join("+"));
            copy_metadata(requests.metadata(), &mut response)?;
            Ok(response)
        })
        .server_streaming(LIST, |_, request, mut replies| async move {
            let mut response = Response::new(());
            copy_metadata(request.metadata(), &mut response)?;
            let ((), metadata, trailers) = response.into_parts();
            replies.send_initial_metadata(metadata)?;
            replies.set_trailers(trailers);
            for letter in request.chars() {
                replies.write(letter.to_string()).await?;
            }
            Ok(())
        })
        .bidi_streaming(CHAT, |_, mut requests, mut replies| async move {
            let mut response = Response::new(());
            copy_metadata(requests.metadata(), &mut response)?;
            let ((), metadata, trailers) = response.into_parts();
            replies.send_initial_metadata(metadata)?;
            replies.set_trailers(trailers);
            while let Some(request) = requests.read().await? {
                replies.write(format!("Hello {request}")).await?;
            }
            replies.write("bye".to_owned()).await
        })
        .build()
}

fn copy_metadata<T>(
    metadata: &turnstile::Metadata,
    response: &mut Response<T>,
) -> Result<(), Status> {
    if let Some(value) = metadata.get("x-echo") {
        response.metadata_mut().insert("x-initial", value)?;
        response.trailers_mut().insert("x-trailing", value)?;
    }
    Ok(())
}

/// Runs a test with a channel to a server that has a service, on two threads of its own.
pub(crate) fn serve(service: Service, test: impl FnOnce(Channel)) {
    let mut builder = Server::builder();
    builder.add_service(service);
    thread::scope(|scope| {
        let server = TestServer::start(scope, 2, &mut builder).expect("there is a free port");
        let server = server.grace(Duration::ZERO);
        test(Channel::connect(&server.address()).expect("its address is one"));
    });
}

/// The same with a stub of each colour.
pub(crate) fn with_stubs(service: Service, test: impl FnOnce(Stub, blocking::Stub)) {
    serve(service, |channel| {
        // A test that would hang fails.
        let patience = CallOptions::new().timeout(PATIENCE);
        let stub = Stub::new(channel.clone()).with(patience.clone());
        test(stub, blocking::Stub::new(channel).with(patience));
    });
}

/// Where handlers report to a test.
pub(crate) fn reports<T>() -> (Sender<T>, Receiver<T>) {
    channel()
}

/// Waits for what another thread reports.
#[track_caller]
pub(crate) fn next<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(PATIENCE).expect("it is reported")
}

/// The status that something has failed with.
#[track_caller]
pub(crate) fn failed<T: Debug>(outcome: Result<T, Status>) -> Status {
    outcome.expect_err("it fails")
}
