package replay

// shares counts the entries that each client holds. A client whose count
// reaches zero is removed.
type shares struct {
	numbers map[string]uint32
	list    []share
	free    []uint32 // numbers that no client uses
}

type share struct {
	client string
	held   int
}

func newShares() *shares { return &shares{numbers: map[string]uint32{}} }

func (s *shares) held(client string) int {
	if number, known := s.numbers[client]; known {
		return s.list[number].held
	}
	return 0
}

// take adds one entry to the client's count, and returns the client's number for give.
func (s *shares) take(client string) uint32 {
	number, known := s.numbers[client]
	if !known {
		number = s.number()
		s.numbers[client] = number
		s.list[number].client = client
	}
	s.list[number].held++
	return number
}

func (s *shares) number() uint32 {
	if last := len(s.free) - 1; last >= 0 {
		number := s.free[last]
		s.free = s.free[:last]
		return number
	}
	s.list = append(s.list, share{})
	return uint32(len(s.list) - 1) //nolint:gosec // there are at most as many clients as entries
}

// give subtracts one entry from the count of the client with this number.
func (s *shares) give(number uint32) {
	one := &s.list[number]
	one.held--
	if one.held == 0 {
		delete(s.numbers, one.client)
		*one = share{}
		s.free = append(s.free, number)
	}
}
