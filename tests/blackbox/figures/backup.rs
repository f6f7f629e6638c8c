//! A backup of a nation beside lookups and changes, and back.

use super::lookups::Lookups;
use super::nation::{Nation, changes, print_asked, seconds_until_ready};
use super::process::{median, scratch, start};
use crate::harness::Caching;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::task::block_in_place;

pub async fn measure(records: u64, rate: u64) {
    let directory = scratch();
    let nation = Nation::generate(records, directory.path());
    let mut service = start(Caching::Without, nation.population(), directory.path()).await;
    block_in_place(|| nation.load(&service));
    let file = directory.path().join("backup.tar");
    let file = file.to_str().unwrap();
    println!("a backup of {records} relationships\n\n| | | goal |\n|---|---|---|");
    let lookups = Lookups::start(&service, nation.population(), rate);
    let (done, mut took) = (AtomicBool::new(false), Vec::new());
    let seconds = block_in_place(|| {
        std::thread::scope(|scope| {
            let making = scope.spawn(|| {
                let began = Instant::now();
                let made = service.command(&["backup", file]);
                assert!(made.status.success(), "{made:?}");
                done.store(true, Ordering::SeqCst);
                began.elapsed().as_secs_f64()
            });
            let runtime = tokio::runtime::Handle::current();
            while !done.load(Ordering::SeqCst) {
                took.extend(runtime.block_on(changes(&service, &nation)));
            }
            making.join().unwrap()
        })
    });
    println!("| backup | {seconds:.1} s | 120 s |");
    print_asked(lookups.stop().await, rate);
    println!(
        "| a change of one record meanwhile | {:.1} ms | 50 ms |",
        median(took)
    );
    println!(
        "| size | {:.1} bytes a relationship | |",
        std::fs::metadata(file).unwrap().len() as f64 / records as f64
    );
    let lookups = Lookups::start(&service, nation.population(), rate);
    let began = Instant::now();
    let verified = block_in_place(|| service.command(&["store", "verify"]));
    assert!(verified.status.success(), "{verified:?}");
    println!("| store verify | {:.1} s | |", began.elapsed().as_secs_f64());
    print_asked(lookups.stop().await, rate);
    assert!(service.terminate().success());
    let began = Instant::now();
    service.restore(file.as_ref());
    println!("| restored | {:.1} s | 120 s |", began.elapsed().as_secs_f64());
    println!(
        "| ready again | {:.1} s | |\n",
        seconds_until_ready(&mut service).await
    );
}
