use super::*;
use futures_util::stream;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Blocks that are parsed before there are threads for it.
const FIRST_BLOCKS: usize = 2;
const LIMITS: BodyLimits = BodyLimits {
    max_body_bytes: u64::MAX,
    max_line_bytes: BLOCK_BYTES,
    max_lines: u64::MAX,
    pause: Duration::from_secs(1),
    grace: Duration::from_secs(1),
    min_bytes_per_second: 0,
};

#[tokio::test]
async fn a_body_whose_parsers_are_all_gone_ends() {
    let workers = Workers::start("test", 1).unwrap();
    let taken = AtomicUsize::new(0);
    let take = move |_: LineBlock| match taken.fetch_add(1, Ordering::Relaxed) {
        0..FIRST_BLOCKS => Ok(()),
        _ => panic!("a defect"),
    };
    let parsers = std::thread::available_parallelism().map_or(1, usize::from);
    let block = Bytes::from("06894169867\n".repeat(BLOCK_BYTES / 12));
    // Each parser takes one, some wait, and of those that follow none finds room.
    let blocks = FIRST_BLOCKS + parsers + QUEUED_BLOCKS + 3;
    let body = stream::repeat(block).take(blocks).map(Ok);
    let read = read_body(
        body,
        Encoding::Identity,
        Separation::Lines,
        LIMITS,
        &workers,
        take,
    );
    let read = tokio::time::timeout(Duration::from_secs(60), read).await;
    assert!(matches!(read, Ok(Err(BodyFault::Panicked))), "{read:?}");
}
