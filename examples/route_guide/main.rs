//! The route guide of gRPC's own tutorials, with blocking handlers: a method of each of the four
//! kinds.
//!
//! ```text
//! cargo run --release --example route_guide_server
//! grpcurl -plaintext -d '{"latitude":409146138,"longitude":-746188906}' \
//!     127.0.0.1:50051 routeguide.RouteGuide/GetFeature
//! ```

#[path = "../common/mod.rs"]
mod common;
mod features;
mod geometry;

use common::Args;
use geometry::{contains, distance};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use turnstile::blocking::{Reader, Writer};
use turnstile::{Request, Response, Server, Status, reflection};
use turnstile_protos::routeguide::{self, Feature, Point, Rectangle, RouteNote, RouteSummary};

/// What is where, and which notes were left there.
struct Guide {
    features: Vec<Feature>,
    notes: Mutex<HashMap<(i32, i32), Vec<RouteNote>>>,
}

impl Guide {
    fn at(&self, point: &Point) -> Option<&Feature> {
        self.features.iter().find(|feature| feature.location.as_ref() == Some(point))
    }
}

impl routeguide::route_guide::BlockingService for Guide {
    fn get_feature(&self, point: Request<Point>) -> Result<Response<Feature>, Status> {
        let nothing = || Feature { name: String::new(), location: Some(*point) };
        Ok(Response::new(self.at(&point).cloned().unwrap_or_else(nothing)))
    }

    fn list_features(
        &self,
        area: Request<Rectangle>,
        features: &mut Writer<Feature>,
    ) -> Result<(), Status> {
        let is_inside =
            |feature: &&Feature| feature.location.as_ref().is_some_and(|it| contains(&area, it));
        for feature in self.features.iter().filter(is_inside).filter(|it| !it.name.is_empty()) {
            features.write(feature.clone())?;
        }
        Ok(())
    }

    fn record_route(&self, points: &mut Reader<Point>) -> Result<Response<RouteSummary>, Status> {
        let (start, mut summary, mut last) = (Instant::now(), RouteSummary::default(), None);
        for point in points {
            let point = point?;
            summary.point_count += 1;
            summary.feature_count +=
                i32::from(self.at(&point).is_some_and(|it| !it.name.is_empty()));
            summary.distance += last.map_or(0, |last| distance(&last, &point));
            last = Some(point);
        }
        summary.elapsed_time = i32::try_from(start.elapsed().as_secs()).unwrap_or(i32::MAX);
        Ok(Response::new(summary))
    }

    fn route_chat(
        &self,
        notes: &mut Reader<RouteNote>,
        replies: &mut Writer<RouteNote>,
    ) -> Result<(), Status> {
        for note in notes {
            let note = note?;
            let point = note.location.unwrap_or_default();
            // The lock is not held while this thread waits for a client that reads slowly.
            let before = {
                let mut all = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
                let here = all.entry((point.latitude, point.longitude)).or_default();
                here.push(note);
                here[..here.len() - 1].to_vec()
            };
            for earlier in before {
                replies.write(earlier)?;
            }
        }
        Ok(())
    }
}

fn main() -> turnstile::Result<()> {
    let args = Args::read("127.0.0.1:50051", 4);
    let guide = Guide { features: features::load(), notes: Mutex::default() };
    let server = Server::builder()
        .add_service(routeguide::route_guide::blocking_server(guide))
        .add_service(reflection::service(routeguide::FILE_DESCRIPTOR_SET))
        .bind(&args.listen)?;
    common::serve(&server, args.threads)
}
