// A second file of the same sketch: Arduino joins them, and declares say() before blink.ino calls it.
void say() {
  Serial.print(F("blink "));
  Serial.println(VERSION);
}
