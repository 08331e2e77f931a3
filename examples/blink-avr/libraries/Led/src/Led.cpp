#include "Led.h"

Led::Led(uint8_t pin) : pin_(pin), is_output_(false) {}

void Led::lit(bool on) {
  if (!is_output_) {  // not in the constructor, which runs before the core's own set-up
    pinMode(pin_, OUTPUT);
    is_output_ = true;
  }
  digitalWrite(pin_, on ? HIGH : LOW);
}
