# Usage: python3 with_requests.py mail.crt https://schedule.example.com/events
#
# The header is the base64 of the certificate's DER, in one line. The reader wants
# the file to begin with a certificate, so a key in its place stays here.
import base64, pathlib, ssl, sys

import requests

file, url = sys.argv[1:]
certificate = ssl.PEM_cert_to_DER_cert(pathlib.Path(file).read_text())
session = requests.Session()
session.headers["X-SSL-Auth"] = base64.b64encode(certificate).decode()  # without decode it would read b'MII…'
event = {"start_time": "2013-08-01T16:20:00+00:00", "end_time": "2013-08-01T18:20:00+00:00", "name": "Meeting"}

# A redirect would take the certificate along, wherever it leads.
response = session.post(url, json={"event": event}, timeout=30, allow_redirects=False)
print(response.status_code, response.text, sep="\n")
sys.exit(response.status_code >= 300)
