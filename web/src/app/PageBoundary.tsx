/** What stands in a page's place when it cannot be loaded or shown: the menu around it goes on. */

import { Component, type ReactNode } from "react";
import { Failure } from "../ui/states";

const SORRY = new Error("This page could not be loaded. Try again when the server can be reached.");

export class PageBoundary extends Component<{ children: ReactNode }, { isBroken: boolean }> {
  override state = { isBroken: false };

  static getDerivedStateFromError(): { isBroken: boolean } {
    return { isBroken: true };
  }

  override render(): ReactNode {
    // Loaded anew as a whole: after an upgrade the page's old parts are no longer served.
    if (this.state.isBroken) return <Failure error={SORRY} onRetry={() => window.location.reload()} />;
    return this.props.children;
  }
}
