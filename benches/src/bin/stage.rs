//! Runs one stage so many times, for a program that counts its instructions: `stage NAME TIMES`. Without arguments it
//! prints the names, and how many bytes each handles in one run; with `--variant` the variant of the escape kernel that
//! those run with which don't name one.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.peek().is_some_and(|argument| argument == "--variant") {
        println!("{}", ringward::encode::simd::Variant::best().name());
        return ExitCode::SUCCESS;
    }
    let mut stages = ringward_benches::all();
    let (Some(name), Some(times)) = (arguments.next(), arguments.next().and_then(|times| times.parse::<u32>().ok()))
    else {
        for stage in &stages {
            println!("{}\t{}", stage.name, stage.bytes);
        }
        return ExitCode::SUCCESS;
    };
    let Some(stage) = stages.iter_mut().find(|stage| stage.name == name) else {
        eprintln!("stage: there is no stage `{name}`");
        return ExitCode::FAILURE;
    };
    for _ in 0..times {
        (stage.run)();
    }
    ExitCode::SUCCESS
}
