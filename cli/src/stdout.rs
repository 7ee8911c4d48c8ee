//! What commands print to stdout themselves. A reader that goes away (`partyrun storage list | head`) is nobody's mistake,
//! where `println!` would panic.

use std::io::{self, ErrorKind, Read, Write};

/// Prints the output of a command that does nothing else. Once its reader is gone, the command has succeeded, and ends.
pub(crate) fn print(mut output: impl Read) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match io::copy(&mut output, &mut stdout).and_then(|_bytes| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        result => result,
    }
}

/// Prints a line about work that goes on whether or not somebody reads of it.
pub(crate) fn print_line(line: std::fmt::Arguments<'_>) {
    let _unread = writeln!(io::stdout(), "{line}");
}

/// [`print_line`] with the arguments of `println!`.
macro_rules! note {
    ($($argument:tt)*) => {
        $crate::stdout::print_line(format_args!($($argument)*))
    };
}

pub(crate) use note;
