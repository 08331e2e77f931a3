LED = 2
