#include "Led.h"

#include <avr/io.h>

Led::Led(uint8_t bit) : bit_(bit) { DDRB |= 1 << bit; }

void Led::flip() { PORTB ^= 1 << bit_; }
