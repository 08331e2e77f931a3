// Blinks, and says which version does so.
#include <Led.h>

const char VERSION[] = "1";
const unsigned long PERIOD_MS = 2000;

Led led(LED_BUILTIN);

void setup() {
  Serial.begin(115200);
  say();
}

void loop() {
  led.lit(true);
  delay(100);
  led.lit(false);
  delay(PERIOD_MS - 100);
}
