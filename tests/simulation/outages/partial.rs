//! A service that fails only for a part of its calls for 20 minutes. All other calls succeed, so that a breaker stays
//! closed, or opens and closes again at once.

use reservation_worker_local::{Effect, Fault, Operation};
use tokio::time::{Duration, Instant, sleep_until};

use crate::deployment::queue::{DeploymentQueue, End};
use crate::deployment::{self, Deployment, Settings, mapping};

const MINUTES: u32 = 20;
const EVENTS_PER_SECOND: u32 = 2;
const EVENTS: u32 = MINUTES * 60 * EVENTS_PER_SECOND;

/// How an event ended, and how long it waited.
type Fate = (End, Duration);

/// Sends two events per second for 20 minutes. Each call takes `latency`. `fault` gets the number of an event, and
/// returns the fault that affects this event.
fn run(latency: Duration, fault: impl Fn(u32) -> Option<Fault>) -> Vec<Fate> {
    deployment::run(|clock| async move {
        let settings = Settings { concurrency: 5, ..Settings::default() };
        let deployment = Deployment::new(settings, &clock).await;
        let each_way = latency.as_millis() as u64 / 2;
        deployment.links[..2].iter().for_each(|link| link.set_delay(each_way..=each_way));
        let began = Instant::now();
        let traffic = async {
            for number in 0..EVENTS {
                sleep_until(began + Duration::from_secs(1) * number / EVENTS_PER_SECOND).await;
                if let Some(fault) = fault(number) {
                    deployment.services.fault(fault);
                }
                deployment.send();
            }
            deployment.services.clear_faults();
            deployment.until(DeploymentQueue::is_drained).await;
        };
        tokio::select! {
            biased;
            () = mapping::poll(&deployment) => {}
            () = traffic => {}
        }
        let queue = deployment.queue.lock().unwrap();
        let ends =
            queue.messages.iter().map(|message| (message.ended.expect("the queue is drained"), message.sent));
        ends.map(|((at, end), sent)| (end, at - sent)).collect()
    })
}

#[test]
fn events_that_need_the_failed_part_of_the_inventory_wait_for_it_and_do_not_go_to_the_dlq() {
    let part = 40;
    let fates = run(Duration::from_millis(4), |number| {
        let operation =
            if number.is_multiple_of(2) { Operation::ReleaseHold } else { Operation::CommitReservation };
        number.is_multiple_of(part).then(|| Fault::on(operation, &format!("r{number}"), Effect::grpc(14)))
    });
    assert_eq!(fates.len(), EVENTS as usize);
    assert!(fates.iter().all(|(end, _)| *end == End::Deleted));
    let others = fates.iter().enumerate().filter(|(number, _)| !(*number as u32).is_multiple_of(part));
    let longest = others.map(|(_, (_, waited))| *waited).max().unwrap();
    assert!(longest <= Duration::from_secs(60), "an event without a fault waited for {longest:?}");
}

#[test]
fn if_a_service_fails_for_one_of_five_calls_events_are_not_delayed() {
    let fates = run(Duration::from_millis(50), |number| {
        let failures = std::iter::repeat_with(|| fastrand::f64() < 0.2).take_while(|fails| *fails).count();
        let fault = Fault::on(Operation::UpdateStatus, &format!("r{number}"), Effect::http(503));
        (failures > 0).then(|| fault.times(u32::try_from(failures).unwrap()))
    });
    assert!(fates.iter().all(|(end, _)| *end == End::Deleted));
    let mut waits: Vec<_> = fates.iter().map(|(_, waited)| *waited).collect();
    waits.sort_unstable();
    let most = waits[waits.len() * 95 / 100];
    assert!(most <= Duration::from_secs(1), "95 % of the events waited for up to {most:?}");
}
