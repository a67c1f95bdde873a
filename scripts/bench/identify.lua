-- The main checks of certgate in nginx: the certificate in X-SSL-Auth (percent-encoded
-- PEM) must be signed with the master key and be valid now, its only OU is the client's
-- name, and the client may send the requests of a list. Verified certificates are cached
-- by the header value, with their validity period.
--
-- Compared with certgate it has no other header format, no check of extensions and
-- algorithms, no revocation, no log, and no limit for senders of invalid certificates.
local ffi = require "ffi"
local lrucache = require "resty.lrucache"
local C = ffi.C

ffi.cdef [[
typedef struct bio_st BIO;
typedef struct x509_st X509;
typedef struct X509_name_st X509_NAME;
typedef struct X509_name_entry_st X509_NAME_ENTRY;
typedef struct asn1_string_st ASN1_STRING;
typedef struct evp_pkey_st EVP_PKEY;
BIO *BIO_new_mem_buf(const void *buf, int len);
int BIO_free(BIO *a);
EVP_PKEY *PEM_read_bio_PUBKEY(BIO *bp, EVP_PKEY **x, void *cb, void *u);
X509 *PEM_read_bio_X509(BIO *bp, X509 **x, void *cb, void *u);
void X509_free(X509 *a);
int X509_verify(X509 *a, EVP_PKEY *r);
const ASN1_STRING *X509_get0_notBefore(const X509 *x);
const ASN1_STRING *X509_get0_notAfter(const X509 *x);
int ASN1_TIME_diff(int *pday, int *psec, const ASN1_STRING *from, const ASN1_STRING *to);
X509_NAME *X509_get_subject_name(const X509 *a);
int X509_NAME_get_index_by_NID(const X509_NAME *name, int nid, int lastpos);
X509_NAME_ENTRY *X509_NAME_get_entry(const X509_NAME *name, int loc);
ASN1_STRING *X509_NAME_ENTRY_get_data(const X509_NAME_ENTRY *ne);
const unsigned char *ASN1_STRING_get0_data(const ASN1_STRING *x);
int ASN1_STRING_length(const ASN1_STRING *x);
void ERR_clear_error(void);
]]

local NID_organizationalUnitName = 18
local CACHE_ENTRIES = 10000

-- read_pem parses text with a PEM function of OpenSSL, and returns the object or nil.
local function read_pem(text, reader)
  local bio = ffi.gc(C.BIO_new_mem_buf(text, #text), C.BIO_free)
  local object = reader(bio, nil, nil, nil)
  C.ERR_clear_error()
  if object ~= nil then return object end
end

-- seconds converts a time in a certificate to seconds since 1970, or returns nil.
local function seconds(asn1_time)
  local day, sec = ffi.new("int[1]"), ffi.new("int[1]")
  local now = ngx.time()
  if C.ASN1_TIME_diff(day, sec, nil, asn1_time) ~= 1 then return nil end
  return now + day[0] * 86400 + sec[0]
end

-- unit returns the subject's organizational unit, or nil unless there is exactly one.
local function unit(cert)
  local name = C.X509_get_subject_name(cert)
  local at = C.X509_NAME_get_index_by_NID(name, NID_organizationalUnitName, -1)
  if at < 0 or C.X509_NAME_get_index_by_NID(name, NID_organizationalUnitName, at) >= 0 then return nil end
  local data = C.X509_NAME_ENTRY_get_data(C.X509_NAME_get_entry(name, at))
  local ou = ffi.string(C.ASN1_STRING_get0_data(data), C.ASN1_STRING_length(data))
  if #ou <= 64 and ou:find("^%w[%w._:@/+-]*$") then return ou end
end

-- verify returns the client's name and the validity period of the certificate in a
-- header value, or nil if the certificate is invalid.
local function verify(value, key)
  local cert = read_pem(ngx.unescape_uri(value), C.PEM_read_bio_X509)
  if not cert then return nil end
  ffi.gc(cert, C.X509_free)
  local good = C.X509_verify(cert, key) == 1
  C.ERR_clear_error()
  local first, last, client = seconds(C.X509_get0_notBefore(cert)), seconds(C.X509_get0_notAfter(cert)), unit(cert)
  if good and first and last and client then
    return { client = client, first = first, last = last }
  end
end

local M = {}

-- new returns the function that nginx calls for each request. allowed[client]["METHOD
-- /path"] is true if the client may send this request.
function M.new(public_key_file, allowed)
  local file = assert(io.open(public_key_file))
  local key = assert(read_pem(file:read("*a"), C.PEM_read_bio_PUBKEY), "want a public key")
  file:close()
  local known = assert(lrucache.new(CACHE_ENTRIES))
  return function()
    local var = ngx.var
    local value = var.http_x_ssl_auth
    if not value then return ngx.exit(401) end
    local found = known:get(value)
    if not found then
      found = verify(value, key)
      if not found then return ngx.exit(403) end
      known:set(value, found)
    end
    local now = ngx.time()
    if now < found.first or now > found.last then return ngx.exit(403) end
    local rules = allowed[found.client]
    if not (rules and rules[var.request_method .. " " .. var.uri]) then return ngx.exit(403) end
    var.client = found.client
  end
end

return M
