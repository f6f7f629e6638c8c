/// Gives memory back after a delivery, where the system's allocator keeps what many threads have used.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    kundeforhold::cli::run()
}
