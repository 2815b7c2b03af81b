//! What a person sees who has just started the service.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::Path,
};

/// Says where the service is, the new password if there is one, and three lines that work when they are pasted.
pub(crate) fn print(address: SocketAddr, data: &Path, new_password: Option<&str>) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    write(&mut out, address, data, new_password)?;
    // Nobody may be reading: that is no reason to stop.
    let _ = out.flush();
    Ok(())
}

fn write(
    out: &mut impl Write,
    address: SocketAddr,
    data: &Path,
    new_password: Option<&str>,
) -> io::Result<()> {
    let url = format!("http://{address}");
    writeln!(
        out,
        "\nPenstock serves at {url} (documentation at {url}/docs), with its data in {}.",
        data.display()
    )?;
    if let Some(password) = new_password {
        writeln!(out, "The password of the account admin, shown only now: {password}")?;
    } else {
        writeln!(out, "The account admin is there already. Put its password in place of PASSWORD below.")?;
    }
    let password = new_password.unwrap_or("PASSWORD");
    let login = format!(r#"{{"user":"admin","password":"{password}"}}"#);
    writeln!(out, "\nLog in, make a collection, keep a document:\n")?;
    writeln!(
        out,
        r#"TOKEN=$(curl -s {url}/v1/session --json '{login}' | sed 's/.*"token":"\([^"]*\)".*/\1/')"#
    )?;
    writeln!(
        out,
        r#"curl -X PUT {url}/v1/collections/notes -H "Authorization: Bearer $TOKEN" --json '{{}}'"#
    )?;
    writeln!(
        out,
        r#"curl -i {url}/v1/collections/notes/records -H "Authorization: Bearer $TOKEN" --json '{{"text":"hello"}}'"#
    )?;
    writeln!(out, "\nCtrl-C stops it.")
}
