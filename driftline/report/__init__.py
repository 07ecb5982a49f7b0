"""The report on a week or a day: alarms, the budget of false ones, what is silent, and how storage grows."""
