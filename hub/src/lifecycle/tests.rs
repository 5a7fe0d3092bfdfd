//! The order of a stop, and what a dead critical task does to the whole.

use super::*;
use std::sync::Mutex;

fn log() -> (Arc<Mutex<Vec<&'static str>>>, impl Fn(&'static str) + Clone + Send + 'static) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let writer = Arc::clone(&log);
    (log, move |line| writer.lock().unwrap().push(line))
}

#[tokio::test(start_paused = true)]
async fn stages_stop_in_order_and_work_may_finish_first() {
    let tasks = Tasks::new();
    let (seen, write) = log();
    for (stage, line) in
        [(Stage::Records, "records"), (Stage::Carriers, "carriers"), (Stage::Work, "work")]
    {
        let (stop, write) = (tasks.stopping(stage), write.clone());
        tasks.spawn(stage, line, async move {
            stop.cancelled().await;
            tokio::time::sleep(Duration::from_secs(3)).await;
            write(line);
        });
    }
    let life = Lifecycle::new(tasks.clone(), || Duration::from_secs(30));
    tasks.stop();
    let ended = life.run(Signals::none()).await;
    assert_eq!(ended, Ended { failed: false, forced: false });
    assert_eq!(*seen.lock().unwrap(), ["work", "carriers", "records"]);
}

#[tokio::test(start_paused = true)]
async fn work_that_outlives_the_drain_limit_is_cut_and_records_still_flush() {
    let tasks = Tasks::new();
    let (seen, write) = log();
    let work = write.clone();
    tasks.spawn(Stage::Work, "stuck", async move {
        tokio::time::sleep(Duration::from_secs(1_000_000)).await;
        work("stuck");
    });
    let stop = tasks.stopping(Stage::Records);
    tasks.spawn(Stage::Records, "writer", async move {
        stop.cancelled().await;
        write("flushed");
    });
    let life = Lifecycle::new(tasks.clone(), || Duration::from_secs(30));
    tasks.stop();
    assert_eq!(life.run(Signals::none()).await, Ended { failed: false, forced: true });
    assert_eq!(*seen.lock().unwrap(), ["flushed"]);
}

#[tokio::test(start_paused = true)]
async fn a_second_request_cuts_work_long_before_the_drain_limit() {
    let tasks = Tasks::new();
    tasks.spawn(Stage::Work, "stuck", std::future::pending());
    let life = Lifecycle::new(tasks.clone(), || Duration::from_secs(1_000_000));
    let started = tokio::time::Instant::now();
    tasks.force();
    assert!(life.run(Signals::none()).await.forced);
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_critical_task_that_ends_early_fails_or_panics_stops_the_hub_with_a_failure() {
    for case in 0..3 {
        let tasks = Tasks::new();
        tasks.spawn_critical(Stage::Work, "critical", async move {
            match case {
                0 => Ok(()),
                1 => Err("no more sockets"),
                _ => panic!("a defect"),
            }
        });
        let life = Lifecycle::new(tasks, || Duration::from_secs(1));
        assert!(life.run(Signals::none()).await.failed, "case {case}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_an_ordinary_task_ends_nothing_else() {
    let tasks = Tasks::new();
    tasks.spawn(Stage::Work, "panics", async { panic!("a defect") });
    tokio::task::yield_now().await;
    assert!(!tasks.is_stopping());
    tasks.stop();
    let life = Lifecycle::new(tasks, || Duration::from_secs(1));
    assert!(!life.run(Signals::none()).await.failed);
}
