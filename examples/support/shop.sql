-- A small shop: its help pages, its customers, and what it charged them.
CREATE VIRTUAL TABLE help USING fts5(title, body);
INSERT INTO help (title, body) VALUES
  ('The app crashes at start', 'If the app crashes or closes at start, clear its cache: Settings, Storage, Clear cache. Then start it again. If it still crashes, update to version 4.2 or newer.'),
  ('Reset a password', 'Choose "Forgot password" on the sign-in page. A link comes by e-mail and works for one hour.'),
  ('Slow downloads', 'Downloads are slow when the phone saves power. Turn battery saver off while downloading.'),
  ('Sign in on a second device', 'Open Settings, Devices, Add, and scan the code with the new device. Five devices are allowed.'),
  ('Export my data', 'Settings, Privacy, Export makes a ZIP file with everything we hold. It is ready within a day.'),
  ('Opening hours', 'Our desk answers on weekdays from 8 to 18 o''clock, Central European Time.');

CREATE TABLE customers (email TEXT PRIMARY KEY, name TEXT NOT NULL, plan TEXT NOT NULL);
INSERT INTO customers VALUES
  ('ann@example.org', 'Ann Archer', 'pro'),
  ('bob@example.org', 'Bob Brown', 'free'),
  ('cy@example.org', 'Cy Cole', 'pro');

CREATE TABLE charges (id INTEGER PRIMARY KEY, email TEXT NOT NULL, day TEXT NOT NULL, amount REAL NOT NULL, what TEXT NOT NULL);
INSERT INTO charges (email, day, amount, what) VALUES
  ('ann@example.org', '2026-10-01', 12.5, 'Pro, October'),
  ('ann@example.org', '2026-10-01', 12.5, 'Pro, October'),
  ('ann@example.org', '2026-09-01', 12.5, 'Pro, September'),
  ('cy@example.org', '2026-10-01', 12.5, 'Pro, October');

CREATE TABLE refunds (key TEXT PRIMARY KEY, email TEXT NOT NULL, amount REAL NOT NULL);
