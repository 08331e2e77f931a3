#pragma once
#include <Arduino.h>

class Led {
 public:
  explicit Led(uint8_t pin);
  void lit(bool on);

 private:
  uint8_t pin_;
  bool is_output_;
};
