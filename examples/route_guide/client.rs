//! A client of the route guide of gRPC's own tutorials: a call of each of the four kinds, blocking.
//!
//! ```text
//! cargo run --release --example route_guide_server
//! cargo run --release --example route_guide_client
//! cargo run --release --example route_guide_client -- --target localhost:50051
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "programs talk")]

#[path = "../common/mod.rs"]
mod common;
mod features;

use common::Flags;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use turnstile::{CallOptions, Channel, Status};
use turnstile_protos::routeguide::route_guide::BlockingClient;
use turnstile_protos::routeguide::{Feature, Point, Rectangle, RouteNote};

const USAGE: &str = "usage: [--target TARGET]
TARGET is host:port, unix:/path, or what else Channel::connect takes;
the default is 127.0.0.1:50051";

/// One request, one reply.
fn get_feature(guide: &BlockingClient, point: Point) -> Result<(), Status> {
    let feature = guide.get_feature(point)?;
    match &*feature.name {
        "" => println!("there is nothing at {}", shown(&point)),
        name => println!("at {} is {name}", shown(&point)),
    }
    Ok(())
}

/// One request, many replies: a reader, which is an iterator.
fn list_features(guide: &BlockingClient, area: Rectangle) -> Result<(), Status> {
    let mut count = 0;
    for feature in guide.list_features(area) {
        let Feature { name, location } = feature?; // an error is how the call has ended
        println!("  {} {name}", shown(&location.unwrap_or_default()));
        count += 1;
    }
    println!("{count} features are in the area");
    Ok(())
}

/// Many requests, one reply: what is written to, and then finished.
fn record_route(guide: &BlockingClient, points: &[Point]) -> Result<(), Status> {
    let mut route = guide.record_route();
    for point in points {
        if !route.write(*point)? {
            break; // The server has its summary already, and wants no more.
        }
    }
    let summary = route.finish()?;
    println!(
        "{} points, {} of them with a name, {} m",
        summary.point_count, summary.feature_count, summary.distance,
    );
    Ok(())
}

/// Many of both. Two threads, as the server answers when it likes: who only writes would not see it, and
/// who waits for an answer to each note would wait for ever.
fn route_chat(guide: &BlockingClient, notes: Vec<RouteNote>) -> Result<(), Status> {
    let (mut writer, reader) = guide.route_chat();
    thread::scope(|scope| {
        scope.spawn(move || {
            for note in notes {
                println!("we say {:?}", note.message);
                // If the call is over, the reader learns why.
                if !matches!(writer.write(note), Ok(true)) {
                    return;
                }
            }
            writer.close(); // or else the server would wait for more
        });
        for note in reader {
            let RouteNote { location, message } = note?;
            println!("there was {message:?} at {}", shown(&location.unwrap_or_default()));
        }
        Ok(())
    })
}

fn shown(point: &Point) -> String {
    format!("{}, {}", f64::from(point.latitude) / 1e7, f64::from(point.longitude) / 1e7)
}

fn point(latitude: i32, longitude: i32) -> Point {
    Point { latitude, longitude }
}

fn tour(guide: &BlockingClient) -> Result<(), Status> {
    get_feature(guide, point(409_146_138, -746_188_906))?;
    get_feature(guide, point(0, 0))?;
    let (lo, hi) = (point(400_000_000, -750_000_000), point(420_000_000, -730_000_000));
    list_features(guide, Rectangle { lo: Some(lo), hi: Some(hi) })?;
    let all = features::load();
    let route: Vec<_> = all.iter().filter_map(|it| it.location).step_by(3).take(10).collect();
    record_route(guide, &route)?;
    let note = |longitude, message: &str| RouteNote {
        location: Some(point(1, longitude)),
        message: message.to_owned(),
    };
    let notes = vec![note(1, "First"), note(2, "Second"), note(1, "Third"), note(2, "Fourth")];
    route_chat(guide, notes)
}

fn main() -> ExitCode {
    let flags = Flags::read(USAGE, &["--target"], 0);
    let target = flags.get("--target").unwrap_or("127.0.0.1:50051");
    let channel = Channel::connect(target).unwrap_or_else(|error| flags.fail(&error.to_string()));
    // For each call, counted from when it begins.
    let options = CallOptions::new().timeout(Duration::from_secs(10));
    match tour(&BlockingClient::new(channel).with(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(status) => {
            eprintln!("{status}");
            ExitCode::FAILURE
        }
    }
}
