package access

// Proof says whether requests have to be signed with the key of the client's
// certificate.
type Proof string

// What a rule can say of proof.
const (
	ProofUnsaid  Proof = ""        // as everywhere: what the gateway's setting says
	ProofOff     Proof = "off"     // signatures are not looked at
	ProofObserve Proof = "observe" // they are verified, and nothing is refused
	ProofRequire Proof = "require" // what is not proven is refused
)
