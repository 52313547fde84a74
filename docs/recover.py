#!/usr/bin/env python3
"""Get an original mail back without Sealpost:   python3 recover.py < sealed.eml > original.eml

Needs Python 3.8 or later and GnuPG with the mailbox key or the recovery key imported; nothing else, and no network.
For S/MIME decrypt first, then cut:  openssl cms -decrypt -inkey key.pem < sealed.eml > p && python3 recover.py --cut < p
All or nothing: nothing is printed unless gpg ended with status 0 and length and SHA-256 of the result are right.
It does not check who sealed the mail (`sealpost open` does), and it holds the mail in memory. docs/format.md, §4.9.
"""
import base64, email, hashlib, re, subprocess, sys

ARMOR = re.compile(rb"-----BEGIN PGP MESSAGE-----.*?-----END PGP MESSAGE-----", re.S)


def decrypt(mail):
    leaves = [p.get_payload(decode=True) or b"" for p in email.message_from_bytes(mail).walk() if not p.is_multipart()]
    found = ARMOR.findall(mail) or [a for leaf in leaves for a in ARMOR.findall(leaf)]  # some servers put base64 around it
    if len(found) != 1:
        sys.exit("recover: there must be exactly one OpenPGP message in the mail, found %d" % len(found))
    gpg = subprocess.run(["gpg", "--decrypt"], input=found[0] + b"\n", stdout=subprocess.PIPE)  # gpg's words: on stderr
    if gpg.returncode != 0:
        sys.exit("recover: gpg failed with status %d; what it printed is thrown away" % gpg.returncode)
    return gpg.stdout


def cut(payload):
    head, _, rest = payload.partition(b"\r\n\r\n")  # the payload's own header section, then: --B, the original, --B--
    boundary, _, rest = rest.partition(b"\r\n")
    original, end, _ = rest.rpartition(b"\r\n" + boundary + b"--")
    origin = re.search(rb"^Sealed-Origin:((?:[^\r\n]|\r\n[ \t])*)", head, re.M)
    if not (boundary.startswith(b"--=_sealed_") and end and origin):
        sys.exit("recover: decrypted, but this is not the inside of a sealed mail")
    tags = dict(re.sub(rb"\s", b"", t).split(b"=", 1) for t in origin[1].split(b";") if b"=" in t)
    digest = base64.b64encode(hashlib.sha256(original).digest())
    if tags.get(b"len") != b"%d" % len(original) or tags.get(b"h") != digest:
        sys.exit("recover: decrypted, but length or SHA-256 of the original is wrong: damaged")
    return original


data = sys.stdin.buffer.read()
sys.stdout.buffer.write(cut(data if "--cut" in sys.argv[1:] else decrypt(data)))
