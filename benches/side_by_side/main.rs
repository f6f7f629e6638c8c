//! What a lookup costs beside servers that do next to nothing. `benches/side_by_side.sh` says what there is.

mod bare;
mod deployment;
mod figures;
mod growth;
mod instructions;
mod lookups;
mod open_loop;
mod overload;
mod postgres;
mod process;
mod requests;
mod settings;
mod steady;
mod tokens;
mod webdis;
mod wrk;

const USAGE: &str = "benches/side_by_side.sh [lookups | tokens | steady | overload | postgres | growth | answers | instructions | all]";

fn main() {
    // `cargo bench` adds `--bench`; without a mode, as when all benches are run, there is nothing to do here.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["lookups"] => lookups::measure(),
        ["tokens"] => tokens::measure(),
        ["steady"] => steady::measure(),
        ["overload"] => overload::measure(),
        ["postgres"] => postgres::measure(),
        ["growth"] => growth::measure_size(),
        ["answers"] => growth::measure_answers(),
        ["instructions"] => instructions::measure(),
        ["all"] => {
            lookups::measure();
            tokens::measure();
            steady::measure();
            overload::measure();
            growth::measure_size();
            growth::measure_answers();
            instructions::measure();
        }
        // The parts that are processes of their own.
        ["bare", address, workers] => bare::serve_fixed(address, workers),
        ["hgetall", address, workers, redis] => bare::serve_hgetall(address, workers, redis),
        ["verifying", address, workers, key] => bare::serve_verifying(address, workers, key),
        ["open-loop", rest @ ..] => open_loop::run(rest),
        _ => println!("usage: {USAGE}"),
    }
}
