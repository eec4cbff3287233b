//! What calls carry, and what they cannot.

use std::thread;
use std::time::Duration;

use turnstile::{Batch, CallOptions, Channel, Code, CompletionQueue, Deadline};

use super::common::{Caller, PATIENCE};
use super::frames::{Call, FrameServer};

/// The call as its server sees it.
fn seen(channel: impl FnOnce(&str) -> Channel, options: CallOptions) -> Call {
    let server = FrameServer::new();
    let caller = Caller::new(channel(&server.address()));
    let _call = caller.begin("you", options, 1);
    thread::scope(|scope| {
        let call = scope.spawn(|| {
            let mut connection = server.accept();
            let call = connection.call();
            connection.reply(&call);
            call
        });
        caller.next().1.unwrap();
        call.join().unwrap()
    })
}

#[test]
fn a_call_says_who_it_asks_for_and_who_it_is() {
    let call = seen(
        |address| Channel::builder(address).authority("shop").user_agent("test/1").build().unwrap(),
        CallOptions::new(),
    );
    assert_eq!(call.header(":authority"), Some("shop"));
    assert_eq!(call.header(":path"), Some("/test.Greeter/Greet"));
    let user_agent = call.header("user-agent").unwrap();
    assert!(user_agent.starts_with("test/1 grpc-rust-turnstile/"), "{user_agent}");
    assert_eq!(call.header("grpc-timeout"), None);
    assert_eq!(call.data_frames, 1, "the message's frame says that it is the last");
}

#[test]
fn the_target_is_the_authority_unless_the_call_says_another() {
    let connect = |address: &str| Channel::connect(&format!("dns:///{address}")).unwrap();
    let call = seen(connect, CallOptions::new());
    assert!(call.header(":authority").unwrap().starts_with("127.0.0.1:"), "{call:?}");
    let call = seen(connect, CallOptions::new().authority("tenant-7"));
    assert_eq!(call.header(":authority"), Some("tenant-7"));
}

#[test]
fn a_call_says_what_its_bytes_are() {
    let connect = |address: &str| Channel::connect(address).unwrap();
    let call = seen(connect, CallOptions::new());
    assert_eq!(call.header("content-type"), Some("application/grpc"));
    let call = seen(connect, CallOptions::new().content_subtype("json"));
    assert_eq!(call.header("content-type"), Some("application/grpc+json"));
    let usual = CallOptions::new().content_subtype("json");
    let both = usual.clone().merged_with(CallOptions::new());
    assert_eq!(seen(connect, both).header("content-type"), Some("application/grpc+json"));
    let both = usual.merged_with(CallOptions::new().content_subtype("x-test"));
    assert_eq!(seen(connect, both).header("content-type"), Some("application/grpc+x-test"));
}

#[test]
fn options_of_the_channel_and_of_the_call_add_up() {
    let usual = CallOptions::new().timeout(Duration::from_secs(1)).metadata("x-of", "channel");
    let call = seen(
        |address| Channel::builder(address).call_options(usual).build().unwrap(),
        CallOptions::new().timeout(Duration::from_secs(100)).metadata("x-of", "call"),
    );
    let values: Vec<_> = call.head.iter().filter(|(name, _)| name == "x-of").collect();
    assert_eq!(values.iter().map(|(_, value)| &**value).collect::<Vec<_>>(), ["channel", "call"]);
    let timeout = call.header("grpc-timeout").unwrap();
    // In the finest unit that has eight digits for it.
    let digits = timeout.strip_suffix('u').unwrap().parse::<u64>().unwrap();
    assert!((90_000_000..=100_000_000).contains(&digits), "{timeout}");
}

#[test]
fn what_cannot_be_ends_the_call_before_it_is_sent() {
    let caller = Caller::to("127.0.0.1:1");
    for (options, text) in [
        (CallOptions::new().metadata("x id", "7"), "the call's metadata cannot be sent: "),
        (CallOptions::new().metadata_bin("x", &[]), "the call's metadata cannot be sent: "),
        (CallOptions::new().authority("a b"), "\"a b\" cannot be the name of a server: "),
    ] {
        let status = caller.call("x", options).unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        assert!(status.message().starts_with(text), "{status}");
    }
    for path in ["", "no/slash", "/a b", "/a#b"] {
        let cq = CompletionQueue::<u32>::new();
        let call = caller.channel.call(path, CallOptions::new(), &cq);
        call.start(Batch::new().receive_status(), 1).unwrap();
        let status = cq.next(Deadline::after(PATIENCE)).unwrap().take_status().unwrap();
        let expected = format!(
            "no request can have the path {path:?}; a method's is like \"/package.Service/Method\""
        );
        assert_eq!((status.code(), status.message()), (Code::Internal, &*expected));
    }
}

#[test]
fn a_channel_that_cannot_be_says_why() {
    let error = Channel::connect("localhost").unwrap_err().to_string();
    let expected =
        "cannot connect to \"localhost\": the port is missing; write \"localhost:50051\"";
    assert_eq!(error, expected);
    let error = Channel::builder("a:80").authority("a b").build().unwrap_err().to_string();
    assert!(error.starts_with("\"a b\" cannot be the name of a server: "), "{error}");
    let error = Channel::builder("a:80").user_agent("\n").build().unwrap_err().to_string();
    assert!(error.starts_with("\"\\n\" cannot be a user agent: "), "{error}");
}
