// What the page's scripts find at hand: the chart library, which index.html loads as a script of its own.

declare const uPlot: any;

// Handlers are given elements, and the feed's events carry what they tell in `detail`.
interface EventTarget {
  [property: string]: any;
}
interface Event {
  detail?: any;
}
