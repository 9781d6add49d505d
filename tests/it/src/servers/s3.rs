//! A store that speaks S3, from PyPI: moto in server mode. It verifies the
//! signature of every request against the user's key, with code that shares
//! nothing with ours.

use super::{Server, program, write};
use crate::program::{require, skip};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// With its version, so that a run today is a run tomorrow.
const PACKAGE: &str = "moto[s3,iam,server]==5.2.5";
/// Requests that are taken without a signature: the ones that make the first user and the bucket.
const UNSIGNED: &str = "4";
/// The bucket there is.
pub const BUCKET: &str = "acme-backups";

/// What makes the user that the tests act as, and prints its keys.
const MAKE_USER: &str = r#"
import boto3, json, sys
common = dict(endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
iam = boto3.client("iam", **common)
iam.create_user(UserName="mainstay")
allowed = ["s3:PutObject", "s3:GetObject", "s3:ListBucket", "s3:DeleteObject", "s3:AbortMultipartUpload"]
statement = {"Effect": "Allow", "Action": allowed, "Resource": "*"}
policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
iam.put_user_policy(UserName="mainstay", PolicyName="backups", PolicyDocument=policy)
key = iam.create_access_key(UserName="mainstay")["AccessKey"]
boto3.client("s3", **common).create_bucket(Bucket=sys.argv[2])
print(key["AccessKeyId"], key["SecretAccessKey"])
"#;

/// A store with one bucket and one user.
#[derive(Debug)]
pub struct S3 {
    server: Server,
    key: String,
    secret: String,
}

impl S3 {
    /// Starts one, or says that it is skipped.
    ///
    /// # Panics
    /// Its user cannot be made.
    pub fn start() -> Option<Self> {
        let programs = python()?;
        let server = Server::start(|directory, address| {
            write(directory, "user.py", MAKE_USER);
            let mut command = Command::new(python().expect("made before the server was started").join("moto_server"));
            command.args(["--host", "127.0.0.1", "--port"]).arg(address.port().to_string());
            command.env("INITIAL_NO_AUTH_ACTION_COUNT", UNSIGNED);
            command
        });
        let mut make = Command::new(programs.join("python"));
        make.arg(server.directory().join("user.py")).arg(url(server.address())).arg(BUCKET);
        let output = make.output().expect("made above");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let (key, secret) = said.trim().split_once(' ').expect("two words");
        Some(Self { key: key.to_owned(), secret: secret.to_owned(), server })
    }

    /// What a process needs in its environment to use it.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", url(self.server.address())),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", self.key.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.secret.clone()),
        ]
    }

    /// How to turn it off and on; it forgets everything then.
    pub fn server(&mut self) -> &mut Server {
        &mut self.server
    }
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// The directory of the programs of an environment with the package; `None`
/// where there can be none, which has then been said.
fn python() -> Option<&'static Path> {
    static PROGRAMS: OnceLock<Option<PathBuf>> = OnceLock::new();
    PROGRAMS.get_or_init(prepare).as_deref()
}

fn prepare() -> Option<PathBuf> {
    require("python3")?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let environment = target.join("tmp/it-python");
    let stamp = environment.join("complete");
    if std::fs::read_to_string(&stamp).ok().as_deref() != Some(PACKAGE) {
        let mut make = Command::new(program("python3"));
        let mut install = Command::new(environment.join("bin/python"));
        let made = runs(make.args(["-m", "venv", "--clear"]).arg(&environment))
            && runs(install.args(["-m", "pip", "install", "--quiet", "--timeout", "20", PACKAGE]));
        if !made {
            skip("the Python package moto could not be installed");
            return None;
        }
        std::fs::write(&stamp, PACKAGE).ok()?;
    }
    Some(environment.join("bin"))
}

fn runs(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| {
        println!("{}", String::from_utf8_lossy(&output.stderr));
        output.status.success()
    })
}
