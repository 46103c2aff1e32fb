// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

/// What the receiver asks of the contracts around it, and nothing more.

interface IToken {
    function allowance(address owner, address spender) external view returns (uint256);
    function balanceOf(address owner) external view returns (uint256);
}

interface IPermitToken is IToken {
    function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external;
}

interface IWeth is IToken {
    function deposit() external payable;
    function withdraw(uint256 amount) external;
}

interface IPool {
    function ADDRESSES_PROVIDER() external view returns (address);
    function getReserveAToken(address asset) external view returns (address);
    function getReserveVariableDebtToken(address asset) external view returns (address);
    function getUserAccountData(address user)
        external
        view
        returns (
            uint256 collateral,
            uint256 debt,
            uint256 borrowable,
            uint256 liquidationThreshold,
            uint256 ltv,
            uint256 healthFactor
        );
    function repay(address asset, uint256 amount, uint256 rateMode, address onBehalfOf) external returns (uint256);
    function supply(address asset, uint256 amount, address onBehalfOf, uint16 referral) external;
    function withdraw(address asset, uint256 amount, address to) external returns (uint256);
}

interface IAddressesProvider {
    function getPriceOracle() external view returns (address);
}

interface IPriceOracle {
    function getAssetPrice(address asset) external view returns (uint256);
}

interface ILiquidityPool {
    function deposit() external payable returns (uint256 shares);
}

interface IWrappedEeth is IToken {
    function wrap(uint256 amount) external returns (uint256);
}

interface ISwapRouter {
    struct ExactInputSingleParams {
        address tokenIn;
        address tokenOut;
        uint24 fee;
        address recipient;
        uint256 deadline;
        uint256 amountIn;
        uint256 amountOutMinimum;
        uint160 sqrtPriceLimitX96;
    }

    function exactInputSingle(ExactInputSingleParams calldata params) external payable returns (uint256 amountOut);
}

interface IMorpho {
    function flashLoan(address token, uint256 amount, bytes calldata data) external;
}
