fn main() -> std::process::ExitCode {
    kundeforhold::cli::run()
}
